"""The environment: one table, an example that is current, and problems told all at once."""

import re
from pathlib import Path

import pytest
from django.conf import settings

from autocode.env import ConfigurationError, Values, example
from autocode.variables import VARIABLES

ROOT = Path(__file__).resolve().parents[2]


def test_the_example_is_current():
    # If this fails: python -m autocode.env deploy/env.example
    assert (ROOT / "deploy" / "env.example").read_text(encoding="utf-8") == example()


def test_every_default_is_of_its_own_kind():
    values = Values({})
    values.refuse_problems(production=False)
    given = Values({name: str(variable.default) for name, variable in VARIABLES.items() if variable.default != ()})
    given.refuse_problems(production=False)


def test_production_names_everything_that_is_missing_or_wrong_at_once():
    values = Values({"PORT": "http", "AUTOCODE_DEBUG": "ture", "AUTOCODE_AGENTS_LINK": "sometimes"})
    with pytest.raises(ConfigurationError) as refused:
        values.refuse_problems(production=True)
    for name in ("PORT", "AUTOCODE_DEBUG", "AUTOCODE_AGENTS_LINK", "AUTOCODE_SECRET_KEY", "AUTOCODE_ALLOWED_HOSTS"):
        assert name in str(refused.value)


def test_a_secret_is_never_repeated_in_the_message():
    with pytest.raises(ConfigurationError) as refused:
        Values({"AUTOCODE_SECRET_KEY": "too-short-but-secret"}).refuse_problems(production=True)
    assert "too-short-but-secret" not in str(refused.value)
    assert "AUTOCODE_SECRET_KEY needs 50 characters" in str(refused.value)


@pytest.mark.parametrize("written", ["nan", "-1", "0", "ten", "1e999x"])
def test_numbers_out_of_bounds_are_refused(written):
    with pytest.raises(ConfigurationError, match="AUTOCODE_HEARTBEAT_S"):
        Values({"AUTOCODE_HEARTBEAT_S": written}).refuse_problems(production=False)


@pytest.mark.parametrize(
    ("written", "meant"), [("on", True), ("TRUE", True), ("1", True), ("off", False), ("no", False)]
)
def test_flags_are_read_in_the_usual_spellings(written, meant):
    assert Values({"AUTOCODE_AGENTS_ACKS": written}).flag("AUTOCODE_AGENTS_ACKS") is meant


def test_lists_lose_their_blanks():
    values = Values({"AUTOCODE_ALLOWED_HOSTS": " a.example , ,b.example"})
    assert values.names("AUTOCODE_ALLOWED_HOSTS") == ["a.example", "b.example"]


def test_every_limit_is_a_setting_of_the_same_name():
    # What is not here became another setting: DEBUG, SECRET_KEY, ALLOWED_HOSTS, DATABASES, the headers of TLS.
    elsewhere = {
        "AUTOCODE_DEBUG", "AUTOCODE_SECRET_KEY", "AUTOCODE_SECRET_KEY_FALLBACKS", "AUTOCODE_ALLOWED_HOSTS",
        "AUTOCODE_HTTPS", "AUTOCODE_TLS_PROXY", "DATABASE_URL",
    }  # fmt: skip
    assert {name for name in VARIABLES if not hasattr(settings, name)} == elsewhere


def test_no_other_file_reads_the_environment_of_the_application():
    # Exceptions: the test settings; the demo agents-server, a program of its own without Django; systemd's variables.
    allowed = {
        "autocode/env.py", "autocode/settings/test.py", "apps/ops/demo/serve.py", "apps/realtime/daphne_sockets.py",
    }  # fmt: skip
    readers = {
        str(path.relative_to(ROOT))
        for folder in ("apps", "autocode")
        for path in (ROOT / folder).rglob("*.py")
        if re.search(r"os\.(environ\b(?!\.setdefault)|getenv)", path.read_text(encoding="utf-8"))
    }
    assert readers <= allowed
