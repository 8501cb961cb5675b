"""Installed applications, middleware and where URLs and templates begin."""

from autocode.settings.parts.places import BASE_DIR

# "daphne" is left out on purpose: it would load Twisted into every management command (0.2 s each) only to
# change `runserver`; `manage.py serve` starts Daphne itself.
INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "channels",
    "rest_framework",
    "rest_framework_simplejwt",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "django_filters",
    "apps.accounts",
    "apps.projects",
    "apps.agents",
    "apps.realtime",
    "apps.dashboard",
    "apps.ops",
]

# Every entry can run async, so an event stream or a long poll holds no thread while it waits.
MIDDLEWARE = [
    "autocode.middleware.correlation",
    "autocode.middleware.content_security",  # before the redirect to HTTPS, which must not catch API calls
    "django.middleware.security.SecurityMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",  # before the static files, which end the way in
    "autocode.static.StaticFiles",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "autocode.middleware.Hosts",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
]

ROOT_URLCONF = "autocode.urls"
ASGI_APPLICATION = "autocode.asgi.application"
AUTH_USER_MODEL = "accounts.User"
AUTHENTICATION_BACKENDS = ["apps.accounts.backends.PeopleBackend"]
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        # The second holds the one page of the composition root: the API's documentation.
        "DIRS": [BASE_DIR / "templates", BASE_DIR / "autocode" / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]
