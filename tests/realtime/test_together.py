"""What a room gives its viewers when events come close upon each other."""

from __future__ import annotations

import asyncio
import json
import tracemalloc
from typing import Any
from uuid import UUID

import pytest

from apps.projects.permissions import Role
from apps.projects.records import Position
from apps.realtime.coalescing import Piece, Shape
from apps.realtime.frames import Frame, Frames
from apps.realtime.room import TOGETHER_S, Room
from apps.realtime.viewers import Viewer

GUID = "0190a0de-0000-7000-8000-000000000000"


class Writes:
    """An owner that notes each write: the ``seq`` of the events in it."""

    def __init__(self) -> None:
        self.all: list[list[int]] = []
        self.frames: list[Frame] = []
        self.news = asyncio.Event()

    def put(self, frame: Frame) -> None:
        self.put_all(Frames([frame]))

    def put_all(self, frames: Frames) -> None:
        self.frames += frames
        self.all.append([frame.seq for frame in frames])
        self.news.set()

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"nothing else happens: {name}")


@pytest.fixture
async def room() -> Room:
    made = Room(UUID(GUID), GUID)
    made.open_at(Position(project_id=UUID(GUID), epoch="e", last_seq=0, first_seq=1, access_version=0))
    return made


@pytest.fixture
async def writes(room: Room) -> Writes:
    owner = Writes()
    viewer = Viewer(owner=owner, connection_id="c", user_id="u", username="ada", role=Role.OWNER)
    room.attach(viewer, 0)
    return owner


def published(room: Room, seq: int, type_: str = "task_created") -> None:
    envelope = {"type": type_, "seq": seq, "data": {}}
    room.take_events([(seq, type_, json.dumps(envelope).encode())])


async def test_two_publishes_within_a_millisecond_are_one_write(room: Room, writes: Writes) -> None:
    published(room, 1)
    assert writes.all == []
    published(room, 2)
    await writes.news.wait()
    assert writes.all == [[1, 2]]


async def test_what_only_a_newer_version_knows_is_passed_on_with_what_follows_it(room: Room, writes: Writes) -> None:
    published(room, 1)
    published(room, 2, "from_tomorrow")
    published(room, 3)
    await writes.news.wait()
    assert writes.all == [[1, 2, 3]]
    writes.news.clear()
    room.take_pieces([Piece(name, name, Shape.LATEST, {}, "") for name in ("news_from_tomorrow", "presence_state")])
    await writes.news.wait()
    assert [json.loads(frame.data)["type"] for frame in writes.frames[3:]] == ["news_from_tomorrow", "presence_state"]


async def test_one_that_comes_later_is_not_waited_for(room: Room, writes: Writes) -> None:
    published(room, 1)
    await writes.news.wait()
    published(room, 2)
    writes.news.clear()
    await writes.news.wait()
    assert writes.all == [[1], [2]]
    assert TOGETHER_S <= 0.001


async def test_a_newcomer_gets_only_what_follows_its_place(room: Room, writes: Writes) -> None:
    published(room, 1)
    owner = Writes()
    room.attach(Viewer(owner=owner, connection_id="d", user_id="v", username="bob", role=Role.OWNER), 1)
    published(room, 2)
    await owner.news.wait()
    assert owner.all == [[2]]
    assert writes.all == [[1], [2]]


async def test_what_waited_behind_a_hole_follows_it_at_once_and_first(
    room: Room, writes: Writes, settings: Any
) -> None:
    settings.AUTOCODE_HOLE_WAIT_MS = 600_000  # nothing is read from the log

    def streamed(offset: int, text: str) -> None:
        data = {"runId": "r", "messageId": "m", "offset": offset, "delta": text}
        room.take_pieces([Piece("message", "message:r:m", Shape.TEXT, data, "2026-01-01T00:00:00.000Z")])

    published(room, 2)
    streamed(0, "one ")
    published(room, 1)
    streamed(4, "two")
    while len(writes.frames) < 4:
        writes.news.clear()
        await asyncio.wait_for(writes.news.wait(), 10)
    assert [json.loads(frame.data)["data"].get("delta") for frame in writes.frames] == [None, None, "one ", "two"]
    room.close()


async def test_newcomers_share_what_they_are_shown(room: Room, writes: Writes) -> None:
    def said(message: str, offset: int, text: str) -> None:
        data = {"runId": "r", "messageId": message, "offset": offset, "delta": text}
        room.take_pieces([Piece("message", f"message:r:{message}", Shape.TEXT, data, "2026-01-01T00:00:00.000Z")])

    def shown() -> list[Frame]:
        return room.live_frames(Viewer(owner=writes, connection_id="d", user_id="v", username="bob", role=Role.OWNER))

    said("done", 0, "all of it")
    said("growing", 0, "the begin")
    first, second = shown(), shown()
    assert [frame is other for frame, other in zip(first, second, strict=True)] == [True, True]
    said("growing", 9, "ning")
    third = shown()
    assert third[0] is first[0]
    texts = [[json.loads(frame.data)["data"]["delta"] for frame in frames] for frames in (first, third)]
    assert texts == [["all of it", "the begin"], ["all of it", "the beginning"]]


async def test_what_newcomers_are_shown_takes_no_memory_before_and_after(room: Room, writes: Writes) -> None:
    """A reader that stops holds what the room holds anyway; the room holds nothing for those who have gone."""
    long = "x" * 100_000
    for number in range(100):
        data = {"runId": "r", "messageId": f"m{number}", "offset": 0, "delta": long}
        room.take_pieces([Piece("message", f"message:r:m{number}", Shape.TEXT, data, "2026-01-01T00:00:00.000Z")])
    await asyncio.sleep(0)
    writes.frames.clear()
    newcomer = Viewer(owner=writes, connection_id="d", user_id="v", username="bob", role=Role.OWNER)
    tracemalloc.start()
    try:
        shown = room.live_frames(newcomer)
        assert sum(frame.size for frame in shown) > 10_000_000
        assert tracemalloc.get_traced_memory()[0] < 200_000
        assert sum(len(frame.wire) for frame in shown) > 10_000_000
        del shown
        assert tracemalloc.get_traced_memory()[0] < 200_000
    finally:
        tracemalloc.stop()
