# ruff: noqa: E501 - forgeries, one after the other
"""Messages of the channel layer that are none of ours: another program on the same Redis, another version."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest

from tests.realtime.conftest import ada, browsers, manager, member, project
from tests.support.browser import Browser

__all__ = ["ada", "browsers", "manager", "member", "project"]

RUBBISH: list[Any] = [
    {}, {"type": None}, {"type": "events"}, {"type": "events", "guid": 5, "events": [], "at": 0}, {"type": "unknown", "guid": "x"},
    {"type": "access"}, {"type": "access", "user": None}, {"type": "access", "user": {"a": 1}, "guid": []},
    {"type": "access", "user": "nobody", "session": "' OR 1=1"}, {"type": "wanted"}, {"type": "pieces", "guid": "x", "pieces": b"\xff"},
    {"type": "websocket.close"}, {"type": "websocket.disconnect", "code": 1000}, {"type": "send", "text": "x"}, [], "text", 5, None,
]  # fmt: skip


async def test_rubbish_from_the_layer_ends_nothing_and_reaches_nobody(manager, project, ada, browsers, caplog):
    tab: Browser = await browsers(ada)
    await tab.join(project)
    guid = str(project.guid)
    forged = [
        {"type": "events", "guid": guid, "events": "x", "at": 0},
        {"type": "events", "guid": guid, "events": [[1]], "at": 0},
        {"type": "events", "guid": guid, "events": [["x", "y", "z"]], "at": "now"},
        {"type": "pieces", "guid": guid, "pieces": b"rubbish"},
        {"type": "pieces", "guid": guid},
    ]
    before = len(tab.frames)
    with caplog.at_level(logging.CRITICAL):
        for message in (*RUBBISH, *forged):
            manager.ear.hear(message)
    assert (await tab.command("ping", {}))["type"] == "pong"
    created = await tab.command("create_task", {"title": "still here"}, project)
    assert created["type"] == "ack"
    (event,) = await tab.events(1)
    assert event["data"]["task"]["title"] == "still here"
    assert "rubbish" not in json.dumps(tab.frames[before:])


@pytest.mark.parametrize("name", ["user", "session", "guid"])
async def test_a_forged_end_of_somebodys_access_is_looked_up_first(manager, project, ada, browsers, name):
    """Whoever can write to the layer can make us look, but not put anybody out of a room where they belong."""
    tab: Browser = await browsers(ada)
    await tab.join(project)
    message = {"type": "access", "user": str(ada.pk), "reason": "removed"}
    if name == "guid":
        message["guid"] = str(project.guid)
    if name == "session":
        message["session"] = "a-session-that-is-not-theirs"
    manager.ear.hear(message)
    assert (await tab.command("ping", {}))["type"] == "pong"
    assert (await tab.command("create_task", {"title": "still here"}, project))["type"] == "ack"
