"""The REST API does what its description says, and nothing worse, whatever fits the description or nearly does.

Schemathesis makes the requests; a real server answers. A longer run: ``AUTOCODE_TEST_SCHEMATHESIS=200 ./test
tests/badinput/test_schemathesis.py`` (examples for each operation; 4 without it). The seed is printed, and
``AUTOCODE_TEST_SEED`` repeats a run.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from typing import Any

import pytest

from apps.accounts.services import TokenService
from apps.projects.aio import in_thread
from tests.flows.test_rights import furnished
from tests.serve.conftest import PLENTY, serve

__all__ = ["serve"]

USUAL = 4
EXAMPLES = int(os.environ.get("AUTOCODE_TEST_SCHEMATHESIS", str(USUAL)))
SEED = int(os.environ.get("AUTOCODE_TEST_SEED", "20261121"))

pytestmark = [pytest.mark.processes, pytest.mark.once, pytest.mark.timeout(300 + EXAMPLES * 30)]

LEFT_OUT = {
    "positive_data_acceptance": "whether a name is somebody's is no matter of form; JSON Schema is less strict",
    "missing_required_header": "no operation has one",
}
ALIKE = "list(Stages|Plans|Locks|Notifications|Feedback|Approvals|ApprovalRules|Agents|Members|Tasks)"
"""Pages of lists that the long run tries too: the short one makes do with those of projects, messages and runs."""
CHECKS = """
[phases.coverage]
unexpected-methods = ["PUT", "TRACE"]

[checks.negative_data_rejection]
expected-statuses = [400, 401, 403, 404, 405, 406, 409, 410, 413, 415, 429]
"""
ROOM = """
[parameters]
"path.guid" = "{guid}"
"path.task_id" = "{task_id}"
"path.run_id" = "{run_id}"
"path.tool_call_id" = "{tool_call_id}"
"path.approval_id" = "{approval_id}"
"path.rule_id" = "{rule_id}"
"path.user_id" = "{user_id}"
"""
"""Requests go to rows that are there. The long run makes up the paths too."""


@pytest.mark.parametrize("where", ["in a furnished room", *(["anywhere"] if EXAMPLES > USUAL else [])])
async def test_the_api_is_as_described(where, serve, tmp_path):
    print(f"AUTOCODE_TEST_SEED={SEED}")
    room = await in_thread(furnished)
    owner = room.people["owner"]
    assert owner is not None
    token = (await in_thread(TokenService().begin, owner))[0]
    # The tests' own settings: no throttle is in the way, and passwords are hashed quickly.
    server = await serve(DJANGO_SETTINGS_MODULE="autocode.settings.test", AUTOCODE_JWT_ACCESS_S=3_600, **PLENTY)
    config = tmp_path / "schemathesis.toml"
    config.write_text(CHECKS + (ROOM.format(**room.ids) if where != "anywhere" else ""))
    run = await asyncio.to_thread(schemathesis, config, server.port, token)
    assert run.returncode == 0, "\n".join(line[:300] for line in (run.stdout + run.stderr).splitlines()[-200:])
    assert "Traceback" not in server.log.read_text()


def schemathesis(config: Any, port: int, token: str) -> subprocess.CompletedProcess[str]:
    """Run it; what it prints holds each failure with a request to repeat it."""
    url = f"http://127.0.0.1:{port}"
    return subprocess.run(
        [
            sys.executable, "-c", "from schemathesis.cli import schemathesis; schemathesis()",
            "--config-file", str(config), "run", f"{url}/api/schema/?format=json", "--url", url,
            "--header", f"Authorization: Bearer {token}",
            "--seed", str(SEED), "--max-examples", str(EXAMPLES), "--workers", "2", "--continue-on-failure",
            "--phases", "examples,coverage,fuzzing", "--request-timeout", "20",
            "--exclude-operation-id", "streamEvents",  # it does not end; tests/realtime/test_http.py reads it
            *([] if EXAMPLES > USUAL else ["--exclude-operation-id-regex", ALIKE]),
            "--checks", "all", "--exclude-checks", ",".join(LEFT_OUT), "--generation-database", "none",
            "--warnings", "off",
        ],
        cwd=config.parent, capture_output=True, text=True, timeout=270 + EXAMPLES * 30, check=False,
    )  # fmt: skip
