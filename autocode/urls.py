"""Every HTTP address of the site, by application."""

from django.contrib import admin
from django.urls import include, path
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerSplitView

from autocode.api_errors import absent

admin.site.site_header = admin.site.site_title = "AutoCode"
admin.site.index_title = "Administration"

urlpatterns = [
    path("admin/", admin.site.urls),
    path("api/v1/", include("apps.accounts.api.urls")),
    path("api/v1/", include("apps.projects.api.urls")),
    path("api/v1/", include("apps.agents.api.urls")),
    path("api/schema/", SpectacularAPIView.as_view(), name="schema"),
    path(
        "api/docs/",
        # Our template: the package's own carries an inline style, which the content policy refuses.
        SpectacularSwaggerSplitView.as_view(
            url_name="schema",
            template_name="autocode/api_docs.html",
            http_method_names=["get", "head"],  # REST framework would answer OPTIONS with a template that is not there
        ),
        name="api-docs",
    ),
    path("", include("apps.realtime.urls")),  # /api/asyncapi.json
    path("api/", absent),
    path("api/<path:rest>", absent),
    path("", include("apps.ops.urls")),  # /healthz, /readyz, /metrics
    path("", include("apps.dashboard.urls")),
]
