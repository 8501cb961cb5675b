"""The way out of a connection: order, batches, bounds."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from apps.realtime.coalescing import Piece, Shape
from apps.realtime.frames import Frame, of_piece
from apps.realtime.outlet import BATCH_FRAMES, QueueOutlet

GUID = "0190a0de-0000-7000-8000-000000000000"


class Reader:
    """The other side of an outlet: takes frames only while ``open``."""

    def __init__(self) -> None:
        self.frames: list[Any] = []
        self.code: int | None = None
        self.open = asyncio.Event()
        self.open.set()

    async def __call__(self, message: Any) -> None:
        if message["type"] == "websocket.close":
            self.code = message["code"]
            return
        await self.open.wait()
        self.frames.append(json.loads(message["text"]))

    @property
    def all(self) -> list[Any]:
        return [one for frame in self.frames for one in (frame if isinstance(frame, list) else [frame])]


class Watched(QueueOutlet):
    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.overflows: list[int] = []


def durable(number: int, size: int = 0) -> Frame:
    return Frame(json.dumps({"seq": number, "x": "x" * size}).encode(), guid=GUID, seq=number)


def delta(text: str, offset: int, key: str = "m") -> Frame:
    return of_piece(GUID, Piece("message", key, Shape.TEXT, {"delta": text, "offset": offset}, "t"))


@pytest.fixture
async def reader() -> Reader:
    return Reader()


@pytest.fixture
async def outlet(reader: Reader) -> Any:
    made: Watched = Watched(reader, limit=10_000, on_overflow=lambda: made.overflows.append(1))
    yield made
    made.stop()


async def test_frames_leave_in_order_and_those_that_wait_leave_together(outlet, reader):
    for number in range(1, 200):
        outlet.put(durable(number))
    await outlet.drained()
    assert [one["seq"] for one in reader.all] == list(range(1, 200))
    assert max(len(frame) for frame in reader.frames) == BATCH_FRAMES
    outlet.put(durable(200))
    await outlet.drained()
    assert reader.frames[-1]["seq"] == 200
    assert outlet.waiting == 0


async def test_pieces_of_one_stream_merge_while_they_wait(outlet, reader):
    reader.open.clear()
    outlet.put(durable(1))
    await asyncio.sleep(0)
    for offset in range(100):
        outlet.put(delta("x", offset))
    reader.open.set()
    await outlet.drained()
    pieces = [one for one in reader.all if "seq" not in one]
    assert [piece["data"] for piece in pieces] == [{"delta": "x" * 100, "offset": 0}]


async def test_a_piece_does_not_move_across_a_fact(outlet, reader):
    reader.open.clear()
    outlet.put(durable(1))
    await asyncio.sleep(0)
    for frame in (delta("a", 0), delta("b", 1), durable(2), delta("c", 2), delta("d", 3)):
        outlet.put(frame)
    reader.open.set()
    await outlet.drained()
    assert [one.get("seq") or one["data"]["delta"] for one in reader.all] == [1, "ab", 2, "cd"]


async def test_a_slow_reader_costs_bounded_memory_and_is_given_up(outlet, reader):
    reader.open.clear()
    for number in range(1, 100):
        outlet.put(durable(number, size=500))
        assert outlet.waiting <= 10_000
    assert outlet.overflows == [1]
    await asyncio.wait_for(outlet.close(4102), 3)
    assert reader.code == 4102


async def test_the_answer_to_a_join_does_not_count(outlet, reader):
    reader.open.clear()
    outlet.put_exempt([durable(number, size=5_000) for number in range(1, 20)])
    outlet.put(durable(20))
    assert outlet.overflows == []
    reader.open.set()
    await outlet.drained()
    assert [one["seq"] for one in reader.all] == list(range(1, 21))


async def test_a_close_comes_after_what_waits_and_the_last_word(outlet, reader):
    outlet.put(durable(1))
    await outlet.close(4101, Frame(b'{"seq":"last"}'))
    outlet.put(durable(2))
    assert [one["seq"] for one in reader.all] == [1, "last"]
    assert reader.code == 4101


async def test_a_send_that_fails_ends_the_outlet_quietly(reader):
    async def broken(_: Any) -> None:
        raise ConnectionError

    outlet = QueueOutlet(broken, limit=1_000, on_overflow=lambda: None)
    outlet.put(durable(1))
    await asyncio.sleep(0.01)
    for number in range(2, 100):
        outlet.put(durable(number, size=500))
    assert outlet.waiting <= 1_000
    outlet.stop()
