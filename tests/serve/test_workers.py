"""``serve --workers``, inherited sockets, and what the parent does when a worker ends."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys

import pytest

from apps.realtime.close_codes import CloseCode
from tests.realtime.serving import ROOT
from tests.serve.conftest import PLENTY, until, workers
from tests.support.services import free_port

pytestmark = [pytest.mark.processes, pytest.mark.timeout(120)]


@pytest.fixture
def crew(private_redis, serve):
    """Start a server with so many workers."""

    async def start(count: int, **environment):
        port = free_port()
        return await serve(
            arguments=["--host", "127.0.0.1", "--port", str(port), "--workers", str(count)],
            port=port,
            AUTOCODE_REDIS_URL=private_redis.url,
            **PLENTY,
            **environment,
        )

    return start


def ups(server) -> int:
    return server.log.read_text().count("is up (process")


def process_of(server, number: int) -> int:
    """Return the process id of the worker that came up first with this number."""
    return int(re.findall(rf"worker {number} is up \(process (\d+)\)", server.log.read_text())[0])


async def test_workers_share_a_socket_and_are_one_room(crew, browsers, ada, room):
    server = await crew(2)
    await until(lambda: ups(server) == 2)
    tabs = [await browsers(ada, url=server.url) for _ in range(12)]
    for tab in tabs:
        await tab.join(room)
    seqs = [(await tab.command("create_task", {"title": "T"}, room))["data"]["seq"] for tab in tabs]
    for tab in tabs:
        assert [event["seq"] for event in await tab.events(len(seqs))] == seqs
    server.signal(signal.SIGTERM)
    for tab in tabs:
        assert await tab.closed() == CloseCode.DRAINING
    assert await server.ended() == 0
    with pytest.raises(OSError, match="refused"):
        socket.create_connection(("127.0.0.1", server.port), 1)


async def test_a_worker_that_dies_is_replaced_and_the_others_go_on(crew, browsers, ada, room):
    server = await crew(2)
    await until(lambda: ups(server) == 2)
    tabs = [await browsers(ada, url=server.url) for _ in range(12)]
    first, second = workers(server)
    os.kill(first, signal.SIGKILL)
    await until(lambda: ups(server) == 3)
    assert second in workers(server)
    assert len(workers(server)) == 2
    cut = [tab for tab in tabs if tab.code is not None]
    assert {tab.code for tab in cut} <= {1006}
    for tab in [*(tab for tab in tabs if tab not in cut), await browsers(ada, url=server.url)]:
        await tab.join(room)


async def test_sighup_replaces_the_workers_one_after_the_other(crew, browsers, ada, room):
    server = await crew(2, AUTOCODE_DRAIN_S=0.2)
    await until(lambda: ups(server) == 2)
    before = workers(server)
    tab = await browsers(ada, url=server.url)
    server.signal(signal.SIGHUP)
    assert await tab.closed(patience=30) == CloseCode.DRAINING
    await until(lambda: ups(server) == 4 and len(workers(server)) == 2, patience=30)
    assert not set(before) & set(workers(server))
    await (await browsers(ada, url=server.url)).join(room)


async def test_a_worker_that_dies_while_others_are_replaced_leaves_none_too_many(crew, browsers, ada, room):
    server = await crew(2, AUTOCODE_DRAIN_S=2)
    await until(lambda: ups(server) == 2)
    before = workers(server)
    for _ in range(12):  # the first one takes a while to drain
        await browsers(ada, url=server.url)
    last = process_of(server, 1)
    server.signal(signal.SIGHUP)
    os.kill(last, signal.SIGKILL)
    await until(lambda: ups(server) == 5, patience=30)  # the first one's, the dead one's, and that one's successor
    await until(lambda: len(workers(server)) == 2)
    assert not set(before) & set(workers(server))


async def test_a_dead_worker_that_is_replaced_before_its_pause_is_over_gets_one_successor(crew):
    server = await crew(2)
    await until(lambda: ups(server) == 2)
    before = workers(server)
    os.kill(process_of(server, 0), signal.SIGKILL)
    await until(lambda: "worker 0 ended" in server.log.read_text())
    server.signal(signal.SIGHUP)
    await until(lambda: ups(server) == 4 and len(workers(server)) == 2)
    assert not set(before) & set(workers(server))


async def test_workers_end_with_their_parent(crew):
    server = await crew(2)
    await until(lambda: ups(server) == 2)
    children = workers(server)
    server.signal(signal.SIGKILL)
    await server.ended()
    await until(lambda: not any(alive(child) for child in children))


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


async def test_a_server_that_cannot_start_says_why_and_ends(private_redis, serve):
    taken = socket.create_server(("127.0.0.1", 0))
    port = taken.getsockname()[1]
    server = await serve(
        wait=False, arguments=["--port", str(port), "--workers", "2"], port=port, AUTOCODE_REDIS_URL=private_redis.url
    )
    assert await server.ended() == 1
    assert "cannot listen" in server.log.read_text()
    taken.close()


@pytest.mark.parametrize(
    ("arguments", "redis_url", "says"),
    [
        (["--workers", "2"], "", "AUTOCODE_REDIS_URL"),
        (["--workers", "0"], "redis://127.0.0.1:1/0", "at least one"),
        (["--workers", "2", "--endpoint", "tcp:port=0"], "redis://127.0.0.1:1/0", "not Twisted's endpoints"),
    ],
)
async def test_what_cannot_be_is_refused(serve, arguments, redis_url, says):
    server = await serve(wait=False, arguments=arguments, AUTOCODE_REDIS_URL=redis_url)
    assert await server.ended() == 2
    assert says in server.log.read_text()


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6])
async def test_a_socket_is_taken_over_by_its_descriptor(serve, browsers, ada, room, family):
    host = "127.0.0.1" if family == socket.AF_INET else "::1"
    with socket.create_server((host, 0), family=family) as listening:
        port = listening.getsockname()[1]
        server = await serve(
            wait=False, arguments=["--fd", str(listening.fileno())], port=port, pass_fds=[listening.fileno()]
        )
    if family == socket.AF_INET6:
        server.url = f"ws://[::1]:{port}"
        socket.create_connection((host, port), 5).close()  # it waits in the backlog until the server is there
    else:
        await server.ready()
    await (await browsers(ada, url=server.url)).join(room)


async def test_systemd_hands_its_socket_over(serve, browsers, ada, room):
    listening = socket.create_server(("127.0.0.1", 0))
    server = await serve(
        wait=False,
        launcher=[sys.executable, str(ROOT / "tests/serve/activate.py"), str(listening.fileno())],
        arguments=["--verbosity", "0"],
        port=listening.getsockname()[1],
        pass_fds=[listening.fileno()],
    )
    listening.close()
    await server.ready()
    await (await browsers(ada, url=server.url)).join(room)


def test_the_help_names_what_is_ours_and_daphnes():
    text = subprocess.run(
        [sys.executable, "manage.py", "serve", "--help"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    for flag in ("--workers", "--fd", "--unix-socket", "--endpoint", "--proxy-headers", "--websocket_timeout"):
        assert flag in text
    assert "--parent" not in text
