"""Work under one key takes turns; other keys do not notice."""

from __future__ import annotations

import asyncio

import pytest
from django.db import OperationalError

from apps.core.errors import Unavailable
from apps.realtime.turns import AT_ONCE, Turns


class Work:
    """Pieces of work that end when they are told."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.most = self.under_way = 0
        self.go_on = asyncio.Event()

    async def __call__(self, name: str, error: Exception | None = None) -> str:
        self.begun.append(name)
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        await self.go_on.wait()
        await asyncio.sleep(0)
        self.under_way -= 1
        if error is not None:
            raise error
        return name


def begin(turns: Turns, key: str, work: Work, name: str, error: Exception | None = None) -> asyncio.Task[str]:
    return asyncio.create_task(turns.take(key, lambda: work(name, error)))


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_a_few_at_once_in_their_order_and_other_keys_at_once():
    turns, work, other = Turns(), Work(), Work()
    tasks = [begin(turns, "a", work, str(n)) for n in range(6)]
    await settle()
    assert work.begun == ["0", "1"][:AT_ONCE]
    other.go_on.set()
    assert await begin(turns, "b", other, "x") == "x"
    work.go_on.set()
    assert await asyncio.gather(*tasks) == [str(n) for n in range(6)]
    assert (work.begun, work.most) == ([str(n) for n in range(6)], AT_ONCE)
    assert not turns._under_way
    assert not turns._waiting


async def test_a_refusal_of_the_database_is_told_to_all_who_wait_and_the_next_one_tries_again():
    turns, work = Turns(), Work()
    away = OperationalError("canceling statement due to lock timeout")
    tasks = [begin(turns, "a", work, str(n), away if n == 0 else None) for n in range(5)]
    await settle()
    work.go_on.set()
    ended = await asyncio.gather(*tasks, return_exceptions=True)
    assert isinstance(ended[0], OperationalError)
    assert ended[1] == "1"
    assert [isinstance(one, Unavailable) for one in ended[2:]] == [True, True, True]
    assert await begin(turns, "a", work, "later") == "later"
    assert not turns._under_way


async def test_another_failure_is_ones_own():
    turns, work = Turns(), Work()
    tasks = [begin(turns, "a", work, str(n), ValueError() if n == 0 else None) for n in range(4)]
    await settle()
    work.go_on.set()
    ended = await asyncio.gather(*tasks, return_exceptions=True)
    assert [isinstance(one, ValueError) for one in ended] == [True, False, False, False]


async def test_who_gives_up_takes_no_turn_along():
    turns, work = Turns(), Work()
    tasks = [begin(turns, "a", work, str(n)) for n in range(5)]
    await settle()
    tasks[2].cancel()  # waits
    tasks[0].cancel()  # works: its turn goes to the third, who is gone, and so to the next
    await settle()
    tasks[3].cancel()
    await settle()
    work.go_on.set()
    ended = await asyncio.gather(*tasks, return_exceptions=True)
    assert [isinstance(one, asyncio.CancelledError) for one in ended] == [True, False, True, True, False]
    assert not turns._under_way
    with pytest.raises(ValueError):
        await begin(turns, "a", work, "x", ValueError())
