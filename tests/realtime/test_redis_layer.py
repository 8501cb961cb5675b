"""The channel layer over a real Redis: what is said is heard, once, in order, and again after everything that ends."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from typing import Any

import pytest
from redis.asyncio import Redis as Client
from redis.exceptions import RedisError
from redis.exceptions import TimeoutError as RedisTimeout

from apps.realtime import redis_layer
from apps.realtime.redis_layer import PubSubChannelLayer
from tests.faults.kit import Proxy
from tests.support.services import Redis

pytestmark = [pytest.mark.redis, pytest.mark.timeout(60)]

PATIENCE = 10.0


class Ears:
    """A layer of some process, with one channel in a group; ``heard`` is what came."""

    def __init__(self, url: str) -> None:
        self.layer = PubSubChannelLayer(hosts=[{"address": url, "socket_connect_timeout": 2}], prefix="t")
        self.heard: list[Any] = []
        self.channel = ""
        self._news = asyncio.Event()

    async def open(self) -> Ears:
        self.channel = await self.layer.new_channel("process.")
        await self.layer.group_add("room", self.channel)
        self.layer.deliver(self.channel, self._hear)
        return self

    def _hear(self, message: dict[str, Any]) -> None:
        self.heard.append(message["n"])
        self._news.set()

    async def until(self, n: int) -> None:
        async with asyncio.timeout(PATIENCE):
            while n not in self.heard:
                self._news.clear()
                await self._news.wait()

    async def say(self, n: int) -> None:
        """Send until it is taken: the layer says so when it is not."""
        async with asyncio.timeout(PATIENCE):
            while True:
                try:
                    await self.layer.group_send("room", {"type": "x", "n": n})
                except (RedisError, OSError):
                    await asyncio.sleep(0.05)
                else:
                    return

    async def heard_again(self, first: int) -> None:
        """Return when something that is said now is heard; a subscription may take a moment to be there again."""
        async with asyncio.timeout(PATIENCE):
            n = first
            while not any(one >= first for one in self.heard):
                await self.say(n)
                n += 1
                await asyncio.sleep(0.02)


@pytest.fixture
async def ears(private_redis: Redis) -> AsyncIterator[Ears]:
    made = await Ears(private_redis.url).open()
    yield made
    await made.layer.flush()


async def test_every_process_hears_everything_once_and_in_order(ears: Ears, private_redis: Redis):
    other = await Ears(private_redis.url).open()
    for n in range(500):
        await ears.layer.group_send("room", {"type": "x", "n": n})
    for one in (ears, other):
        await one.until(499)
        assert one.heard == list(range(500))
    await other.layer.flush()


async def test_what_comes_before_there_is_a_hearer_waits(private_redis: Redis):
    layer = PubSubChannelLayer(hosts=[{"address": private_redis.url}], prefix="t")
    channel = await layer.new_channel()
    await layer.send(channel, {"type": "x", "data": b"\x00\xff", "text": "ä"})
    async with asyncio.timeout(PATIENCE):
        assert await layer.receive(channel) == {"type": "x", "data": b"\x00\xff", "text": "ä"}
    await layer.flush()


async def test_a_group_that_was_left_is_silent(ears: Ears):
    await ears.say(1)
    await ears.until(1)
    await ears.layer.group_discard("room", ears.channel)
    await ears.layer.group_add("other", ears.channel)
    await ears.layer.group_send("room", {"type": "x", "n": 2})
    await ears.layer.group_send("other", {"type": "x", "n": 3})
    await ears.until(3)
    assert ears.heard == [1, 3]


async def test_rubbish_on_the_channel_is_passed_over(
    ears: Ears, private_redis: Redis, caplog: pytest.LogCaptureFixture
):
    async with Client.from_url(private_redis.url) as client:
        await client.publish("t__group__room", b"\xc1 rubbish")
    await ears.say(1)
    await ears.until(1)
    assert "cannot be read" in caplog.text


async def test_cut_connections_are_made_again(ears: Ears, private_redis: Redis):
    async with Client.from_url(private_redis.url) as client:
        for kind in ("pubsub", "normal"):
            await client.execute_command("CLIENT", "KILL", "TYPE", kind)
    await ears.heard_again(10)


async def test_a_redis_that_is_away_is_told_and_found_again(ears: Ears, private_redis: Redis):
    await ears.say(1)
    await ears.until(1)
    await asyncio.to_thread(private_redis.kill)
    with pytest.raises((RedisError, OSError)):
        await ears.layer.group_send("room", {"type": "x", "n": 2})
    with pytest.raises((RedisError, OSError)):
        await Ears(private_redis.url).open()
    await asyncio.to_thread(private_redis.start)
    await ears.heard_again(10)


async def test_a_redis_that_answers_nobody_is_found_again(
    ears: Ears, private_redis: Redis, monkeypatch: pytest.MonkeyPatch
):
    """A lost machine refuses nothing: the attempt to connect ends by redis-py's own clock."""
    unanswered = asyncio.Event()
    opening = redis_layer.Line.open

    async def watched(*args: Any) -> Any:
        try:
            return await opening(*args)
        except RedisTimeout:
            unanswered.set()
            raise

    monkeypatch.setattr(redis_layer.Line, "open", watched)
    await asyncio.to_thread(private_redis.kill)
    with contextlib.ExitStack() as stack:
        deaf = stack.enter_context(socket.create_server(("127.0.0.1", private_redis.port), backlog=0))
        filling = stack.enter_context(socket.socket())  # the only place in the queue: who comes later gets no answer
        filling.connect(deaf.getsockname())
        async with asyncio.timeout(PATIENCE):
            await unanswered.wait()
    await asyncio.to_thread(private_redis.start)
    await ears.heard_again(10)


async def test_an_error_of_redis_is_raised_and_the_next_message_goes(ears: Ears, private_redis: Redis):
    async with Client.from_url(private_redis.url) as client:
        await client.execute_command("ACL", "SETUSER", "default", "-publish")
        with pytest.raises(Exception, match="NOPERM"):
            await ears.layer.group_send("room", {"type": "x", "n": 1})
        await client.execute_command("ACL", "SETUSER", "default", "+publish")
    await ears.say(2)
    await ears.until(2)


async def test_whoever_gives_up_does_not_take_the_next_ones_answer(private_redis: Redis):
    async with Proxy(private_redis.port) as line:
        ears = await Ears(f"redis://127.0.0.1:{line.port}/").open()
        await ears.say(1)
        line.hold()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(ears.layer.group_send("room", {"type": "x", "n": 2}), 0.2)
        line.release()
        await ears.say(3)
        await ears.until(3)
        await ears.layer.flush()


async def test_an_answer_that_does_not_come_is_an_error(private_redis: Redis, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(redis_layer, "ANSWER_S", 0.2)
    async with Proxy(private_redis.port) as line:
        ears = await Ears(f"redis://127.0.0.1:{line.port}/").open()
        await ears.say(1)
        line.hold()
        with pytest.raises(RedisError):
            await asyncio.wait_for(ears.layer.group_send("room", {"type": "x", "n": 2}), PATIENCE)
        line.release()
        await ears.heard_again(3)
        await ears.layer.flush()


async def test_a_silent_line_is_given_up(private_redis: Redis, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(redis_layer, "PING_S", 0.2)
    async with Proxy(private_redis.port) as line:
        ears = await Ears(f"redis://127.0.0.1:{line.port}/").open()
        line.hold()
        async with asyncio.timeout(PATIENCE):
            while line.connections < 2:  # noqa: ASYNC110 - the line has no event for it
                await asyncio.sleep(0.02)
        line.release()
        await ears.heard_again(1)
        await ears.layer.flush()
