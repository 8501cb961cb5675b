"""The REST API: authentication, defaults of every view, tokens and the OpenAPI description."""

from datetime import timedelta
from typing import Any

from autocode.settings.parts.places import ENVIRONMENT

AUTOCODE_JWT_ACCESS_S = ENVIRONMENT.integer("AUTOCODE_JWT_ACCESS_S")
AUTOCODE_JWT_REFRESH_S = ENVIRONMENT.integer("AUTOCODE_JWT_REFRESH_S")

# "login" is the scope of the views that take a password or a token. None switches a limit off.
THROTTLE_RATES: dict[str, str | None] = {"anon": "60/min", "user": "1200/min", "login": "10/min"}

REST_FRAMEWORK: dict[str, Any] = {
    # The token first: its WWW-Authenticate header is what turns "not logged in" into 401 instead of 403.
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "apps.accounts.api.authentication.TokenAuthentication",
        "rest_framework.authentication.SessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    # JSON only: forms and the browsable API would widen what a hostile page can send and read.
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["rest_framework.parsers.JSONParser"],
    "DEFAULT_FILTER_BACKENDS": ["django_filters.rest_framework.DjangoFilterBackend"],
    "DEFAULT_PAGINATION_CLASS": "apps.projects.pagination.CursorPage",
    "PAGE_SIZE": 50,
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "EXCEPTION_HANDLER": "apps.projects.api.errors.exception_handler",
    "DEFAULT_THROTTLE_CLASSES": [
        "apps.accounts.throttling.AnonymousThrottle",
        # REST framework's own would answer 500 while the cache is away.
        "apps.accounts.throttling.UserThrottle",
    ],
    "DEFAULT_THROTTLE_RATES": THROTTLE_RATES,
    "NUM_PROXIES": 0,  # throttles go by REMOTE_ADDR, which the server sets: anybody can write X-Forwarded-For
    "TEST_REQUEST_DEFAULT_FORMAT": "json",
}

# The environments add SIGNING_KEY, made from their SECRET_KEY.
SIMPLE_JWT = {
    "ACCESS_TOKEN_LIFETIME": timedelta(seconds=AUTOCODE_JWT_ACCESS_S),
    "REFRESH_TOKEN_LIFETIME": timedelta(seconds=AUTOCODE_JWT_REFRESH_S),
    "ALGORITHM": "HS256",
    "USER_ID_FIELD": "id",
    "USER_ID_CLAIM": "user_id",  # the UUID as text
    "UPDATE_LAST_LOGIN": True,
    "ISSUER": "autocode",
    "AUDIENCE": "autocode",
    "LEEWAY": 5,  # seconds
}

SPECTACULAR_SETTINGS = {
    "TITLE": "AutoCode",
    "DESCRIPTION": "Rooms where people watch and steer coding agents. /api/asyncapi.json describes the live part.",
    "VERSION": "1",
    "SERVE_INCLUDE_SCHEMA": False,
    "SCHEMA_PATH_PREFIX": r"/api/v[0-9]+",
    "COMPONENT_SPLIT_REQUEST": True,
    "OAS_VERSION": "3.1.0",  # the first that is JSON Schema, which is what msgspec writes
    "POSTPROCESSING_HOOKS": ["apps.accounts.api.openapi.complete"],
    # Our own copies of Swagger's files, so that the page works offline and under the content policy.
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "REDOC_DIST": "SIDECAR",
}
