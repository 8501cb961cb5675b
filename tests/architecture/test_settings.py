"""The settings of each environment, tried in a process of their own, and the secrets that a desk makes for itself."""

import os
import re
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from autocode.keys import kept_secret
from autocode.settings.parts.database import database

ROOT = Path(__file__).resolve().parents[2]
GOOD = {
    "AUTOCODE_SECRET_KEY": "k" * 20 + "0123456789abcdefghijklmnopqrstuvwxyz",
    "AUTOCODE_ALLOWED_HOSTS": "rooms.example.org",
    "AUTOCODE_TLS_PROXY": "on",
    "AUTOCODE_REDIS_URL": "redis://127.0.0.1:1/0",  # named only; a check does not connect
    "DATABASE_URL": "postgres://nobody@127.0.0.1:1/none",
}


def manage(*arguments: str, module: str, **environment: str) -> subprocess.CompletedProcess[str]:
    clean = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    return subprocess.run(
        [sys.executable, "manage.py", *arguments], cwd=ROOT, capture_output=True, text=True, check=False,
        env=clean | {"DJANGO_SETTINGS_MODULE": f"autocode.settings.{module}"} | environment,
    )  # fmt: skip


def test_production_does_not_start_without_its_secrets():
    result = manage("check", module="production")
    assert result.returncode != 0
    assert "AUTOCODE_SECRET_KEY is required" in result.stderr
    assert "AUTOCODE_ALLOWED_HOSTS is required" in result.stderr


def test_production_passes_djangos_deployment_checks_without_a_warning():
    result = manage("check", "--deploy", module="production", **GOOD)
    told = set(re.findall(r"\((\w+\.[CEW]\d+)\)", result.stdout + result.stderr))
    assert "System check identified" in result.stdout + result.stderr
    assert told <= {"autocode.E003"}, "in a source tree the pages' files are not collected"


def test_a_desk_starts_with_nothing_and_keeps_its_key(tmp_path):
    show = ("shell", "-v", "0", "-c", "from django.conf import settings; print(settings.SECRET_KEY, settings.DEBUG)")
    first = manage(*show, module="local", AUTOCODE_DATA=str(tmp_path))
    second = manage(*show, module="local", AUTOCODE_DATA=str(tmp_path))
    assert first.returncode == 0, first.stderr
    assert first.stdout == second.stdout
    assert first.stdout.endswith("True\n")
    assert len(first.stdout.split()[0]) >= 50


def test_a_kept_secret_is_one_for_all_who_come_at_once_and_private(tmp_path):
    path = tmp_path / "deep" / "secret.key"
    with ThreadPoolExecutor(8) as threads:
        secrets = set(threads.map(lambda _: kept_secret(path), range(32)))
    assert len(secrets) == 1
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [entry.name for entry in path.parent.iterdir()] == ["secret.key"]


@pytest.mark.parametrize(
    ("url", "engine"),
    [
        ("", "django.db.backends.sqlite3"),
        ("sqlite:////tmp/x.sqlite3", "django.db.backends.sqlite3"),
        ("postgres://a:b%40c@db:5433/n", "autocode.postgresql"),
    ],
)
def test_a_database_url_chooses_the_engine_with_its_safeguards(url, engine):
    made = database(url, default=Path("/tmp/d.sqlite3"), threads=4)
    assert made["ENGINE"] == engine
    if "sqlite3" in engine:
        assert made["OPTIONS"]["transaction_mode"] == "IMMEDIATE"
        assert "journal_mode=WAL" in made["OPTIONS"]["init_command"]
    else:
        assert (made["PASSWORD"], made["CONN_MAX_AGE"]) == ("b@c", 0)
        assert made["OPTIONS"]["pool"]["size"] > 4
        assert "statement_timeout" in made["OPTIONS"]["options"]
