"""Headers, cookies, body limits and passwords. ``production`` adds what needs TLS."""

from autocode.settings.parts.places import ENVIRONMENT

SECRET_KEY_FALLBACKS = ENVIRONMENT.names("AUTOCODE_SECRET_KEY_FALLBACKS")
ALLOWED_HOSTS = ENVIRONMENT.names("AUTOCODE_ALLOWED_HOSTS")
AUTOCODE_TRUSTED_ORIGINS = ENVIRONMENT.names("AUTOCODE_TRUSTED_ORIGINS")
CSRF_TRUSTED_ORIGINS = AUTOCODE_TRUSTED_ORIGINS

SESSION_ENGINE = "apps.accounts.session_store"
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"  # Strict would log people out of every link in an e-mail or a chat
SESSION_COOKIE_AGE = 12 * 3600  # seconds: one working day
CSRF_COOKIE_SAMESITE = "Lax"
# Not HttpOnly: our own pages read the CSRF cookie to call the API. It is no secret to the page's own scripts.
CSRF_COOKIE_HTTPONLY = False

SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
SECURE_CROSS_ORIGIN_OPENER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"

DATA_UPLOAD_MAX_MEMORY_SIZE = 1024 * 1024  # bytes
DATA_UPLOAD_MAX_NUMBER_FIELDS = 200
DATA_UPLOAD_MAX_NUMBER_FILES = 10

AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 10}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
    {"NAME": "django.contrib.auth.password_validation.NumericPasswordValidator"},
]
