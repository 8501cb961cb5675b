"""The test suite: a SQLite file (threads need one) or the PostgreSQL of ``DATABASE_URL``, fast hashes, no throttles.

Ignores the rest of the caller's environment where it could reach real data: secrets, Redis and the agents-server
are set by the tests that want them.
"""

import os
import tempfile
from pathlib import Path

from autocode.keys import derived_key
from autocode.settings.base import *  # noqa: F403 - settings modules are meant to be gathered
from autocode.settings.parts import database as database_part
from autocode.settings.parts import layers as layers_part
from autocode.settings.parts import rest as rest_part
from autocode.settings.parts.places import ENVIRONMENT

ENVIRONMENT.refuse_problems(production=False)

DEBUG = False
SECRET_KEY = "only-for-tests-" + "x" * 50
SIMPLE_JWT = rest_part.SIMPLE_JWT | {"SIGNING_KEY": derived_key(SECRET_KEY, "tokens")}
ALLOWED_HOSTS = ["testserver", "localhost", "127.0.0.1", "[::1]"]
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]

# One directory for each process (xdist workers have their own); tests/conftest.py makes and removes it.
AUTOCODE_DATA = Path(tempfile.gettempdir()) / f"autocode-test-{os.getpid()}"
DATABASES = {
    "default": database_part.database(
        os.environ.get("DATABASE_URL", ""), default=AUTOCODE_DATA / "autocode.sqlite3", threads=16
    )
}
if "sqlite3" in DATABASES["default"]["ENGINE"]:
    # Without a name here Django would take a database in memory, which threads cannot share.
    DATABASES["default"]["TEST"] = {"NAME": str(AUTOCODE_DATA / "test.sqlite3")}
    DATABASES["default"]["OPTIONS"]["init_command"] = database_part.SQLITE_INIT.replace("NORMAL", "OFF")

AUTOCODE_REDIS_URL = ""
CHANNEL_LAYERS = layers_part.channel_layers("", "autocode-test")
CACHES = layers_part.caches("", "autocode-test")

AUTOCODE_AGENTS_URL = ""
AUTOCODE_AGENTS_TOKEN = ""
AUTOCODE_AGENTS_LINK = "off"

REST_FRAMEWORK = rest_part.REST_FRAMEWORK | {"DEFAULT_THROTTLE_RATES": dict.fromkeys(rest_part.THROTTLE_RATES)}

STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.InMemoryStorage"},
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
}
STATIC_ROOT = None
WHITENOISE_USE_FINDERS = True
WHITENOISE_AUTOREFRESH = True
