"""Connections are lent to one thread each; what is dead is replaced unseen, and an absence is told at once."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.db import DatabaseError, connections
from django.db.utils import ConnectionHandler

from autocode.postgresql.connection import Connection
from autocode.postgresql.pool import TRY_AGAIN_S, Pool
from autocode.settings.parts.database import database
from tests.support.services import free_port

pytestmark = pytest.mark.postgres


class Server:
    """Connects to a real server, or fails as told; counts."""

    def __init__(self, url: str) -> None:
        self.url, self.tries, self.refuses = url, 0, False

    def __call__(self) -> psycopg.Connection[Any]:
        self.tries += 1
        if self.refuses:
            raise psycopg.OperationalError("sorry, too many clients already")
        return psycopg.connect(self.url, autocommit=True)


@pytest.fixture
def server(postgres_url: str) -> Server:
    return Server(postgres_url)


@pytest.fixture
def pool_of(server: Server) -> Iterator[Callable[..., Pool]]:
    made: list[Pool] = []

    def make(*, size: int = 4, timeout: float = 5.0) -> Pool:
        made.append(Pool(server, size=size, timeout=timeout))
        return made[-1]

    yield make
    for pool in made:
        pool.close()


def test_one_connection_serves_who_come_one_after_the_other(pool_of, server):
    pool = pool_of()
    for _ in range(5):
        connection = pool.getconn()
        assert connection.execute("SELECT 1").fetchone() == (1,)
        pool.putconn(connection)
    assert server.tries == 1


def test_never_more_than_its_size_and_never_one_for_two(pool_of, server):
    pool, lock = pool_of(size=3), threading.Lock()
    lent: set[int] = set()

    def work(_: int) -> None:
        connection = pool.getconn()
        with lock:
            assert id(connection) not in lent
            lent.add(id(connection))
        connection.execute("SELECT pg_sleep(0.002)")
        with lock:
            lent.discard(id(connection))
        pool.putconn(connection)

    with ThreadPoolExecutor(12) as threads:
        list(threads.map(work, range(200)))
    assert server.tries <= 3


def test_who_finds_all_in_use_hears_it_in_time(pool_of):
    pool = pool_of(size=1, timeout=0.1)
    held = pool.getconn()
    with pytest.raises(psycopg.OperationalError, match="in use"):
        pool.getconn()
    pool.putconn(held)
    pool.putconn(pool.getconn())


def test_connections_that_the_server_ended_are_replaced_before_they_are_lent(pool_of, server):
    pool = pool_of()
    held = [pool.getconn() for _ in range(3)]
    backends = [one.info.backend_pid for one in held]
    for one in held:
        pool.putconn(one)
    with psycopg.connect(server.url, autocommit=True) as other:
        other.execute("SELECT pg_terminate_backend(pid) FROM unnest(%s) AS pid", [backends])
        while other.execute("SELECT 1 FROM pg_stat_activity WHERE pid = ANY(%s)", [backends]).fetchone():
            time.sleep(0.01)
    connection = pool.getconn()
    assert connection.execute("SELECT 1").fetchone() == (1,)
    pool.putconn(connection)
    assert server.tries == 4


def test_a_connection_that_broke_while_it_was_lent_is_not_lent_again(pool_of, server):
    pool = pool_of(size=1)
    connection = pool.getconn()
    with pytest.raises(psycopg.OperationalError):
        connection.execute("SELECT pg_terminate_backend(pg_backend_pid())")
    pool.putconn(connection)
    again = pool.getconn()
    assert again is not connection
    pool.putconn(again)


def test_a_transaction_that_was_left_open_is_undone(pool_of):
    pool = pool_of()
    connection = pool.getconn()
    connection.autocommit = False
    connection.execute("CREATE TABLE left_behind (x int)")
    pool.putconn(connection)
    again = pool.getconn()
    assert again is connection
    assert again.execute("SELECT to_regclass('left_behind')").fetchone() == (None,)
    pool.putconn(again)


def test_while_the_server_is_away_everybody_hears_it_at_once_and_one_tries(pool_of, server):
    pool, url = pool_of(), server.url
    server.url = f"postgres://postgres@127.0.0.1:{free_port()}/autocode"
    began = time.monotonic()
    for _ in range(50):
        with pytest.raises(psycopg.OperationalError, match="refused"):
            pool.getconn()
    assert server.tries <= 2 + (time.monotonic() - began) / TRY_AGAIN_S
    server.url = url
    time.sleep(TRY_AGAIN_S)
    pool.putconn(pool.getconn())


def test_while_the_server_has_no_more_connections_those_that_are_there_serve_all(pool_of, server):
    pool = pool_of()
    held = pool.getconn()
    server.refuses = True

    def work(_: int) -> Any:
        connection = pool.getconn()
        try:
            return connection.execute("SELECT 1").fetchone()
        finally:
            pool.putconn(connection)

    with ThreadPoolExecutor(6) as threads:
        answers = threads.map(work, range(60))
        while server.tries < 2:
            time.sleep(0.01)
        pool.putconn(held)
        assert set(answers) == {(1,)}


def test_after_its_end_nothing_is_lent_and_nothing_is_kept(pool_of):
    pool = pool_of()
    held, idle = pool.getconn(), pool.getconn()
    pool.putconn(idle)
    pool.close()
    pool.putconn(held)
    assert held.closed
    assert idle.closed
    with pytest.raises(psycopg.OperationalError, match="closed"):
        pool.getconn()


def test_when_one_gets_no_answer_the_idle_ones_are_not_trusted_either(pool_of, server):
    pool = pool_of(size=2)
    lent, idle = pool.getconn(), pool.getconn()
    pool.putconn(idle)
    pool.forget_idle()
    assert idle.closed
    lent.close()
    pool.putconn(lent)
    for _ in range(2):
        assert pool.getconn().execute("SELECT 1").fetchone() == (1,)
    assert server.tries == 4


def test_a_server_that_does_not_answer_is_given_up(postgres_url: str) -> None:
    said: list[bool] = []
    with Connection.connect(postgres_url, autocommit=True) as connection:
        connection.patience, connection.on_silence = 0.3, lambda: said.append(True)
        with pytest.raises(psycopg.OperationalError, match=r"not answered for 0\.3 s"):
            connection.execute("SELECT pg_sleep(30)")
        assert connection.closed
        assert len(said) == 1


@pytest.fixture
def database_of_a_site(postgres_url: str, django_db_blocker: Any) -> Iterator[Any]:
    # An alias of its own: pools are known by alias, and that of the tests stays what it is.
    named = {"default": {}, "of_a_site": database(postgres_url, default=Path("unused"), threads=1)}
    connections.settings["of_a_site"] = ConnectionHandler(named).settings["of_a_site"]
    made: Any = connections["of_a_site"]
    with django_db_blocker.unblock():
        yield made
        made.close()
        made.close_pool()
    del connections["of_a_site"], connections.settings["of_a_site"]


def limits(connection: Any) -> tuple[str, float | None]:
    """Return the server's limit for one statement, and how long the client waits for it."""
    with connection.cursor() as cursor:
        cursor.execute("SHOW statement_timeout")
        return cursor.fetchone()[0], connection.connection.patience


def test_migrations_take_their_time_and_nothing_else_does(database_of_a_site: Any) -> None:
    before: tuple[str, float | None] = ("5s", 6)
    assert limits(database_of_a_site) == before
    with database_of_a_site.schema_editor():
        assert limits(database_of_a_site) == ("0", None)
    assert limits(database_of_a_site) == before
    for broken in ("CREATE TABLE", "SELECT 1/0"):
        with pytest.raises(DatabaseError), database_of_a_site.schema_editor() as editor:
            editor.execute(broken)
        assert limits(database_of_a_site) == before


@pytest.mark.parametrize("atomic", [True, False])
def test_a_migration_that_breaks_at_its_end_lifts_no_limits(database_of_a_site: Any, atomic: bool) -> None:
    before = limits(database_of_a_site)
    with pytest.raises(DatabaseError, match="division"), database_of_a_site.schema_editor(atomic=atomic) as editor:
        editor.deferred_sql.append("SELECT 1/0")
    if atomic:  # Django leaves its transaction open then, and the process ends
        database_of_a_site.in_atomic_block = False
        database_of_a_site.close()
    assert limits(database_of_a_site) == before


def test_a_migration_within_a_transaction_says_what_broke(database_of_a_site: Any) -> None:
    before = limits(database_of_a_site)
    database_of_a_site.set_autocommit(False)
    with pytest.raises(DatabaseError, match="division"), database_of_a_site.schema_editor(atomic=False) as editor:
        editor.execute("SELECT 1/0")
    database_of_a_site.rollback()
    database_of_a_site.set_autocommit(True)
    assert limits(database_of_a_site) == before
