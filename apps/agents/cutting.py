"""Cutting what is long to what a room needs to see, or a frame holds; the whole is kept in the table. Pure."""

from __future__ import annotations

from typing import Any

import msgspec

from apps.agents.commands import ProjectUpdate
from apps.projects.events import TaskStatus

SHOWN_RESULT = 4_000
"""Characters of a tool's result in an event."""
STORED_RESULT = 64 * 1024
"""Characters of a tool's result in the table."""
SHOWN_PATCH = 16 * 1024
"""Characters of a patch in an event."""
DECIDED_PATCH = 64 * 1024
"""Characters of a patch that somebody decides about."""
SHOWN_ARGS = 16 * 1024
"""Bytes of a call's arguments in an event."""
SHOWN_ARGUMENT = 2_000
"""Characters of one text among arguments that are too long together."""
_DESCRIPTIONS = (8_192, 2_048, 512, 128, 0)
_FILES = (16, 0)
_ENDED = frozenset({TaskStatus.DONE, TaskStatus.CANCELLED})


def cut(text: str, longest: int) -> str:
    """Return ``text``, at most ``longest`` characters: its head and tail around what is missing."""
    if len(text) <= longest:
        return text
    room = longest - 60  # for the line between; 60 holds any number
    head, tail = room - room // 3, room // 3
    return f"{text[:head]}\n… {len(text) - head - tail} characters left out …\n{text[-tail:]}"


def cut_args(args: dict[str, Any]) -> dict[str, Any]:
    """Return ``args`` when they are small; else with long texts cut; else only their names."""
    if len(msgspec.json.encode(args)) <= SHOWN_ARGS:
        return args
    shorter: dict[str, Any] = _shorter(args)
    if len(msgspec.json.encode(shorter)) <= SHOWN_ARGS:
        return shorter
    return {name[:100]: "… left out …" for name in list(args)[:50]}


def _shorter(value: Any) -> Any:
    if isinstance(value, str):
        return cut(value, SHOWN_ARGUMENT)
    if isinstance(value, dict):
        return {name: _shorter(item) for name, item in value.items()}
    return [_shorter(item) for item in value] if isinstance(value, list) else value


def cut_board(update: ProjectUpdate, most: int) -> None:
    """Make ``update`` take ``most`` bytes at most: shorter descriptions, then fewer files, then fewer tasks.

    Tasks that ended go first, those that ended first before others; then the board's end. What a task depends on is
    never cut: who does not know of it begins too early.
    """
    whole = [(task, task.description, task.files) for task in update.tasks]
    for longest in _DESCRIPTIONS:
        if _size(update) <= most:
            return
        for task, description, _ in whole:
            task.description = cut(description, longest) if longest else description and "…"
    for longest in _FILES:
        if _size(update) <= most:
            return
        for task, _, files in whole:
            if len(files) > longest:
                task.files = [*files[:longest], f"… {len(files) - longest} left out …"]
    if _size(update) > most:
        _leave_out_tasks(update, most)


def _leave_out_tasks(update: ProjectUpdate, most: int) -> None:
    ended = sorted((task for task in update.tasks if task.status in _ENDED), key=lambda task: task.updated_at)
    going = [*ended, *(task for task in reversed(update.tasks) if task.status not in _ENDED)]
    update.tasks_left_out = len(going)  # as long as the number can be
    over, gone = _size(update) - most, set[str]()
    for task in going:
        if over <= 0:
            break
        over -= _size(task) + 1
        gone.add(task.task_id)
    update.tasks = [task for task in update.tasks if task.task_id not in gone]
    update.tasks_left_out = len(gone)


def _size(value: Any) -> int:
    return len(msgspec.json.encode(value))
