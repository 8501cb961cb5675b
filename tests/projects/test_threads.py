"""Threads for work that blocks: what is asked for is done once, at most so many at a time, and ends with all."""

from __future__ import annotations

import asyncio
import functools
import gc
import subprocess
import sys
import threading
import weakref
from collections.abc import Iterator

import pytest

from apps.projects.threads import Threads

PATIENCE = 10


@pytest.fixture
def farewells() -> list[str]:
    return []


@pytest.fixture
def threads(farewells: list[str]) -> Iterator[Threads]:
    made = Threads(3, name="trial", farewell=lambda: farewells.append(threading.current_thread().name))
    yield made
    made.close()


def name() -> str:
    return threading.current_thread().name


async def test_one_after_the_other_needs_one_thread(threads: Threads) -> None:
    assert {await threads.run(name) for _ in range(50)} == {"trial_0"}


async def test_the_thread_used_last_is_used_next(threads: Threads) -> None:
    gates = [threading.Event() for _ in range(3)]

    def held(gate: threading.Event) -> str:
        gate.wait(PATIENCE)
        return name()

    calls = [threads.run(functools.partial(held, gate)) for gate in gates]
    for number in (2, 0, 1):
        gates[number].set()
        assert await calls[number] == f"trial_{number}"
    for _ in range(10):
        assert await threads.run(name) == "trial_1"


async def test_no_more_at_once_than_allowed(threads: Threads) -> None:
    lock, running, most, done = threading.Lock(), 0, 0, []

    def work(number: int) -> None:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        with lock:
            running -= 1
            done.append(number)

    gate = threading.Event()
    holders = [threads.run(lambda: gate.wait(PATIENCE)) for _ in range(3)]
    calls = [threads.run(functools.partial(work, number)) for number in range(200)]
    assert done == []
    gate.set()
    await asyncio.gather(*holders, *calls)
    assert sorted(done) == list(range(200))
    assert most <= 3


async def test_what_waits_is_begun_in_its_order() -> None:
    alone, gate, begun = Threads(1, name="alone", farewell=lambda: None), threading.Event(), list[int]()
    holder = alone.run(lambda: gate.wait(PATIENCE))
    calls = [alone.run(functools.partial(begun.append, number)) for number in range(200)]
    gate.set()
    await asyncio.gather(holder, *calls)
    assert begun == list(range(200))
    alone.close()


async def test_many_loops_lose_nothing(threads: Threads) -> None:
    done: list[int] = []

    async def ask(start: int) -> None:
        results = await asyncio.gather(*(threads.run(functools.partial(int, start + k)) for k in range(500)))
        done.extend(results)

    others = [threading.Thread(target=lambda start=start: asyncio.run(ask(start))) for start in (0, 500, 1_000)]
    for other in others:
        other.start()
    for other in others:
        await asyncio.to_thread(other.join, PATIENCE)
    assert sorted(done) == list(range(1_500))


@pytest.mark.parametrize("error", [ValueError("no"), KeyboardInterrupt(), SystemExit(3), asyncio.CancelledError()])
async def test_what_the_work_raises_is_raised(threads: Threads, error: BaseException) -> None:
    def fail() -> None:
        raise error

    future = threads.run(fail)
    await asyncio.wait([future])
    assert future.exception() is error
    assert await threads.run(name) == "trial_0"


async def test_stop_iteration_does_not_leave_anybody_waiting(threads: Threads) -> None:
    with pytest.raises(RuntimeError):
        await asyncio.wait_for(threads.run(lambda: next(iter(()))), PATIENCE)


async def test_an_error_is_forgotten_with_its_future(threads: Threads) -> None:
    class Mark(Exception):  # noqa: N818 - an exception that can be watched
        pass

    def fail() -> None:
        raise Mark

    gc.disable()
    try:
        future = threads.run(fail)
        await asyncio.wait([future])
        seen = weakref.ref(future.exception())
        del future
        await threads.run(name)
        assert seen() is None
    finally:
        gc.enable()


async def test_cancelled_before_its_turn_is_never_begun(threads: Threads) -> None:
    gate, begun = threading.Event(), []
    holders = [threads.run(lambda: gate.wait(PATIENCE)) for _ in range(3)]
    cancelled = threads.run(lambda: begun.append("cancelled"))
    kept = threads.run(lambda: begun.append("kept"))
    cancelled.cancel()
    gate.set()
    await asyncio.gather(*holders, kept)
    assert begun == ["kept"]


async def test_close_ends_what_was_asked_for_and_says_goodbye(threads: Threads, farewells: list[str]) -> None:
    gate, done = threading.Event(), list[int]()
    holders = [threads.run(lambda: gate.wait(PATIENCE)) for _ in range(3)]
    calls = [threads.run(functools.partial(done.append, number)) for number in range(20)]
    closing = asyncio.create_task(asyncio.to_thread(threads.close))
    gate.set()
    await closing
    await asyncio.gather(*holders, *calls)
    assert sorted(done) == list(range(20))
    assert sorted(farewells) == ["trial_0", "trial_1", "trial_2"]
    with pytest.raises(RuntimeError):
        threads.run(name)
    threads.close()


def test_a_loop_that_is_gone_costs_no_thread(threads: Threads) -> None:
    gate = threading.Event()

    async def leave() -> None:
        threads.run(lambda: gate.wait(PATIENCE))

    asyncio.run(leave())
    gate.set()

    async def come_back() -> str:
        return await threads.run(name)

    assert asyncio.run(come_back()) in {"trial_0", "trial_1"}


LEAVES = """
import asyncio, threading, time
import django
from django.conf import settings
settings.configure(DATABASES={}, AUTOCODE_DB_THREADS=2)
from apps.projects import aio

async def main():
    begun = threading.Event()
    def work():
        begun.set()
        time.sleep(0.3)
        print("done")
    task = asyncio.create_task(aio.in_thread(work))
    await asyncio.to_thread(begun.wait)
    task.cancel()

asyncio.run(main())
"""


def test_a_program_that_ends_lets_its_work_finish() -> None:
    """With a sleep, since the point is that nothing but the program's end waits for it."""
    outcome = subprocess.run([sys.executable, "-c", LEAVES], capture_output=True, text=True, timeout=60, check=True)
    assert outcome.stdout == "done\n", outcome.stderr
