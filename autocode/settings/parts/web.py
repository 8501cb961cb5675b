"""Pages: language, time, login addresses and static files."""

from pathlib import Path

from autocode.settings.parts.places import BASE_DIR

LANGUAGE_CODE = "en"
USE_I18N = True
TIME_ZONE = "UTC"
USE_TZ = True

LOGIN_URL = "/admin/login/"
LOGIN_REDIRECT_URL = "/"
LOGOUT_REDIRECT_URL = "/"

STATIC_URL = "/static/"
# The JavaScript client is a package of its own, served as it is.
STATICFILES_DIRS = [("autocode-client", BASE_DIR / "apps" / "realtime" / "client" / "src")]
STATIC_ROOT: Path | None = BASE_DIR / "staticfiles"
WHITENOISE_ALLOW_ALL_ORIGINS = False  # nobody else's page needs our files
