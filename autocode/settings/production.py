"""A site that people rely on: nothing has a default that could leak or forge; ``check --deploy`` is silent."""

from autocode.keys import derived_key
from autocode.settings.base import *  # noqa: F403 - settings modules are meant to be gathered
from autocode.settings.parts import database as database_part
from autocode.settings.parts import rest as rest_part
from autocode.settings.parts.places import ENVIRONMENT

ENVIRONMENT.refuse_problems(production=True)

DEBUG = ENVIRONMENT.flag("AUTOCODE_DEBUG")
SECRET_KEY = ENVIRONMENT.text("AUTOCODE_SECRET_KEY")
SIMPLE_JWT = rest_part.SIMPLE_JWT | {"SIGNING_KEY": derived_key(SECRET_KEY, "tokens")}

_https = ENVIRONMENT.flag("AUTOCODE_HTTPS")
if ENVIRONMENT.flag("AUTOCODE_TLS_PROXY"):
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
SECURE_SSL_REDIRECT = _https
# Health checks come from the machine itself, without TLS. The API is refused over plain HTTP by
# autocode.middleware.content_security: a redirect would hide that the token has already travelled in the clear.
SECURE_REDIRECT_EXEMPT = [r"^healthz$", r"^readyz$", r"^metrics$"]
SECURE_HSTS_SECONDS = 31_536_000 if _https else 0  # a year
SECURE_HSTS_INCLUDE_SUBDOMAINS = _https
SECURE_HSTS_PRELOAD = _https
SESSION_COOKIE_SECURE = _https
CSRF_COOKIE_SECURE = _https
if _https:
    # A browser accepts this prefix only from this very host over TLS, so no neighbour can plant the cookie.
    SESSION_COOKIE_NAME = "__Host-sessionid"
    CSRF_COOKIE_NAME = "__Host-csrftoken"

if "sqlite3" in database_part.DATABASES["default"]["ENGINE"]:
    DATABASES = {
        "default": database_part.sqlite(
            database_part.DATABASES["default"]["NAME"],
            init_command=database_part.SQLITE_INIT.replace("NORMAL", "FULL"),
        )
    }

STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"},
}
WHITENOISE_USE_FINDERS = False
WHITENOISE_AUTOREFRESH = False
