"""A desk and the demo: debug on, SQLite, plain HTTP, and a secret key made on first use."""

from autocode.keys import derived_key, kept_secret
from autocode.settings.base import *  # noqa: F403 - settings modules are meant to be gathered
from autocode.settings.parts import rest as rest_part
from autocode.settings.parts.places import AUTOCODE_DATA, ENVIRONMENT
from autocode.settings.parts.security import ALLOWED_HOSTS as NAMED_HOSTS

ENVIRONMENT.refuse_problems(production=False)

DEBUG = ENVIRONMENT.flag("AUTOCODE_DEBUG", default=True)
ALLOWED_HOSTS = [*NAMED_HOSTS, "localhost", "127.0.0.1", "[::1]"]
SECRET_KEY = ENVIRONMENT.text("AUTOCODE_SECRET_KEY") or kept_secret(AUTOCODE_DATA / "secret.key")
SIMPLE_JWT = rest_part.SIMPLE_JWT | {"SIGNING_KEY": derived_key(SECRET_KEY, "tokens")}

# Static files come straight from the sources, looked up at each request: no collectstatic on a desk.
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
}
STATIC_ROOT = None
WHITENOISE_USE_FINDERS = True
WHITENOISE_AUTOREFRESH = True
