"""Reads that callers share: fewer of them, and never one that began before somebody asked."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence

import pytest

from apps.projects.aio import TOGETHER, Gathered

# The pool's threads look after their connections, whatever they are asked to do.
pytestmark = pytest.mark.django_db(transaction=True)


class Source:
    """A read that waits until the test lets it go."""

    def __init__(self) -> None:
        self.value = 0
        self.reads: list[list[str]] = []
        self.began = threading.Event()
        self.go = threading.Semaphore(0)

    def load(self, keys: Sequence[str]) -> dict[str, int | Exception]:
        self.reads.append(list(keys))
        value = self.value
        self.began.set()
        assert self.go.acquire(timeout=10)
        return {key: LookupError(key) if key == "bad" else value for key in keys}


@pytest.fixture
def source() -> Source:
    return Source()


async def test_who_asks_while_a_read_is_on_its_way_is_answered_by_the_next(source: Source) -> None:
    gathered = Gathered(source.load)
    first = asyncio.create_task(gathered.get("a"))
    await asyncio.to_thread(source.began.wait, 10)
    source.value = 1  # what the first read can no longer see
    crowd = [asyncio.create_task(gathered.get(key)) for key in ("a", "b", "b", "c")]
    await asyncio.sleep(0)
    source.go.release(2)
    assert await first == 0
    assert await asyncio.gather(*crowd) == [1, 1, 1, 1]
    assert source.reads == [["a"], ["a", "b", "c"]]


async def test_an_error_is_that_of_its_key_alone(source: Source) -> None:
    gathered = Gathered(source.load)
    source.go.release(1)
    bad, good = await asyncio.gather(gathered.get("bad"), gathered.get("good"), return_exceptions=True)
    assert isinstance(bad, LookupError)
    assert good == 0


async def test_a_read_that_fails_fails_for_those_who_waited_and_not_for_later_ones(source: Source) -> None:
    def fails(keys: Sequence[str]) -> dict[str, int | Exception]:
        if not source.value:
            raise OSError("away")
        return dict.fromkeys(keys, 7)

    gathered = Gathered(fails)
    assert [type(one) for one in await asyncio.gather(*map(gathered.get, "ab"), return_exceptions=True)] == [
        OSError
    ] * 2
    source.value = 1
    assert await gathered.get("a") == 7


async def test_a_caller_that_gives_up_takes_nobody_down(source: Source) -> None:
    gathered = Gathered(source.load)
    impatient, patient = asyncio.create_task(gathered.get("a")), asyncio.create_task(gathered.get("a"))
    await asyncio.to_thread(source.began.wait, 10)
    impatient.cancel()
    source.go.release(1)
    assert await patient == 0


async def test_a_crowd_is_read_in_parts(source: Source) -> None:
    gathered = Gathered(source.load)
    source.go.release(10)
    await asyncio.gather(*(gathered.get(str(number)) for number in range(TOGETHER * 2 + 1)))
    assert [len(keys) for keys in source.reads] == [TOGETHER, TOGETHER, 1]
