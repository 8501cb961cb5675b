"""The locked requirements: reproducible, free of this machine, and above every floor that has a reason."""

import re
from importlib.metadata import version
from pathlib import Path

import pytest
from packaging.version import Version

LOCKS = Path(__file__).resolve().parents[2] / "deploy" / "requirements"
PIN = re.compile(r"^([a-z0-9][a-z0-9._-]*)(?:\[[a-z,]+\])?==(\S+)", re.MULTILINE)


def pins(name: str) -> dict[str, str]:
    return dict(PIN.findall((LOCKS / name).read_text(encoding="utf-8")))


@pytest.mark.parametrize("lock", ["bootstrap.txt", "base.txt", "dev.txt"])
def test_every_line_is_a_pin_or_a_hash(lock):
    for line in (LOCKS / lock).read_text(encoding="utf-8").splitlines():
        assert re.match(r"^([a-z0-9][\w.\[\],-]*==\S+( ; [^\\]+)? \\|    --hash=sha256:[0-9a-f]{64}( \\)?)$", line), (
            line
        )


def test_the_tests_run_on_the_versions_that_production_runs():
    base, dev = pins("base.txt"), pins("dev.txt")
    assert base.items() <= dev.items()


# Each floor closed a hole or a fault that matters here; deploy/requirements/base.in names those we depend on directly.
@pytest.mark.parametrize(
    ("package", "floor"),
    [
        ("daphne", "4.2.2"),  # CVE-2026-44545 unbounded frames, CVE-2026-44546 header smuggling
        ("autobahn", "26.10.1"),  # CVE-2026-77528, CVE-2026-116579: compression bypassed size limits
        ("twisted", "24.7"),  # CVE-2024-41671 disordered pipelining
        ("django", "5.2.14"),  # CVE-2026-33034, CVE-2026-5766: body limits bypassed under ASGI
        ("djangorestframework", "3.18.2"),  # CVE-2026-114137: a deleted token stayed valid
        ("djangorestframework-simplejwt", "5.5.1"),  # CVE-2024-22513
        ("pyjwt", "2.15.0"),  # CVE-2026-32597, CVE-2026-48523, CVE-2026-102272 to 102275
        ("channels", "4.3"),
        ("redis", "4.5.4"),  # CVE-2023-28858: an answer went to somebody else's cancelled call
        ("websockets", "15"),
    ],
)
def test_floors_with_a_reason_hold(package, floor):
    assert Version(version(package)) >= Version(floor)


def test_django_stays_on_its_long_term_line():
    assert version("django").startswith("5.2.")
