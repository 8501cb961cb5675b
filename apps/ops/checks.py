"""System checks of what the settings say together. ``manage.py check --deploy`` runs those for a real site."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Info, Tags, Warning, register  # noqa: A004 - Django's own word

from apps.agents.link.target import TargetError, parsed


@register(Tags.compatibility)
def link_has_an_address(**_: Any) -> list[CheckMessage]:
    """A link that runs in a process of its own but leads nowhere is a mistake."""
    if settings.AUTOCODE_AGENTS_LINK == "separate" and not settings.AUTOCODE_AGENTS_URL:
        return [
            Error(
                "AUTOCODE_AGENTS_LINK is separate but AUTOCODE_AGENTS_URL is empty.",
                hint="Name the agents-server's ws:// or wss:// address, or set AUTOCODE_AGENTS_LINK=off.",
                id="autocode.E001",
            )
        ]
    return []


@register(Tags.compatibility)
def separate_link_needs_redis(**_: Any) -> list[CheckMessage]:
    """What a link in another process tells reaches the rooms over the layer only (or, later, by the log)."""
    if settings.AUTOCODE_AGENTS_LINK == "separate" and not settings.AUTOCODE_REDIS_URL:
        return [
            Warning(
                "The link runs in a process of its own without Redis: its events come late and its streams never.",
                hint="Set AUTOCODE_REDIS_URL, or AUTOCODE_AGENTS_LINK=embedded.",
                id="autocode.W001",
            )
        ]
    return []


@register(Tags.security, deploy=True)
def several_processes_need_redis(**_: Any) -> list[CheckMessage]:
    """In memory, processes know nothing of each other: right for one, wrong for two."""
    if not settings.AUTOCODE_REDIS_URL:
        return [
            Info(
                "AUTOCODE_REDIS_URL is empty: this serves one process only. Broadcasts, presence and throttles of a"
                " second one would not meet.",
                hint="Set AUTOCODE_REDIS_URL before starting more than one server process.",
                id="autocode.I001",
            )
        ]
    return []


@register(Tags.security)
def agents_link_leads_somewhere(**_: Any) -> list[CheckMessage]:
    """An address that the link will refuse is a mistake that is better heard of before the start."""
    if not settings.AUTOCODE_AGENTS_URL:
        return []
    try:
        parsed(settings.AUTOCODE_AGENTS_URL)
    except TargetError as refused:
        return [Error(f"AUTOCODE_AGENTS_URL cannot be used: {refused}.", id="autocode.E002")]
    return []


@register(Tags.security, deploy=True)
def agents_link_is_private(**_: Any) -> list[CheckMessage]:
    """The link carries code and commands; over a network it must be encrypted and prove who is there."""
    found: list[CheckMessage] = []
    url = settings.AUTOCODE_AGENTS_URL
    local = url.startswith(("ws://127.0.0.1", "ws://localhost", "ws://[::1]"))
    if url.startswith("ws://") and not local:
        found.append(
            Warning(
                "AUTOCODE_AGENTS_URL is not encrypted.",
                hint="Use wss://, or keep the agents-server on the same machine.",
                id="autocode.W002",
            )
        )
    if url and not settings.AUTOCODE_AGENTS_TOKEN:
        found.append(Warning("AUTOCODE_AGENTS_TOKEN is empty: the link proves nothing.", id="autocode.W003"))
    return found
