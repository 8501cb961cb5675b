"""Connections to PostgreSQL, shared by the threads of a process. Knows psycopg, not Django.

Why not ``psycopg_pool``: it connects in the background, so that whoever asks while the server is away waits for the
whole timeout instead of hearing why; it finds a restarted server after pauses that double; and it asks the server
before each loan whether it is there. Here the one who asks connects, one at a time while the server is away, and a
socket that the server has closed is seen without a question.
"""

from __future__ import annotations

import select
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any, Final

import psycopg
from psycopg.pq import TransactionStatus

Connection = psycopg.Connection[Any]

TRY_AGAIN_S: Final = 0.25
"""After a failure everybody is refused for so long, or for as long as the failure took."""
ASK_AFTER_S: Final = 30.0
"""A connection that nobody used for so long is asked whether it still works: a firewall may have forgotten it."""
KEPT_S: Final = 10.0
"""One that nobody needed for so long is closed; it belongs to whoever else needs one."""
OLD_S: Final = 3_600.0
"""Each is closed at this age, whatever the server keeps for it."""


class Pool:
    """At most ``size`` connections, lent to one thread each. Who finds none waits ``timeout`` seconds at most."""

    def __init__(self, connect: Callable[[], Connection], *, size: int, timeout: float) -> None:
        self._connect, self._size, self._timeout = connect, size, timeout
        self._changed = threading.Condition()
        self._idle: deque[tuple[Connection, float]] = deque()
        """With the moment since which each is idle; the last one is lent first, so that the others may grow old."""
        self._born: dict[Connection, float] = {}
        self._lent = self._connecting = 0
        self._away: psycopg.OperationalError | None = None
        self._away_until = 0.0
        self._closed = False

    def open(self) -> None:
        """Do nothing: a connection is made when it is needed. Django calls this before each loan."""

    def getconn(self) -> Connection:
        """Lend a connection. Raises ``psycopg.OperationalError``: at once when the server is away."""
        deadline = time.monotonic() + self._timeout
        while True:
            found = self._take(deadline)
            if found is None:
                found = self._make(deadline)
                if found is None:
                    continue
            elif not _works(*found):
                self._drop(found[0])
                continue
            found[0]._pool = self  # noqa: SLF001 - where Django gives it back
            return found[0]

    def _take(self, deadline: float) -> tuple[Connection, float] | None:
        """Take an idle connection, or None together with the right to make one."""
        with self._changed:
            while True:
                if self._closed:
                    raise psycopg.OperationalError("the pool is closed")
                if self._idle:
                    self._lent += 1
                    return self._idle.pop()
                if self._may_connect():
                    self._connecting += 1
                    return None
                if self._away is not None and not self._lent:
                    raise psycopg.OperationalError(str(self._away))
                left = deadline - time.monotonic()
                if left <= 0 or not self._changed.wait(left):
                    raise psycopg.OperationalError("every connection to the database is in use")

    def _may_connect(self) -> bool:
        if self._away is not None:  # then one tries for all
            return not self._connecting and time.monotonic() >= self._away_until
        return self._lent + self._connecting < self._size

    def _make(self, deadline: float) -> tuple[Connection, float] | None:
        """Connect; None when that failed but somebody may give one back in time."""
        began = time.monotonic()
        try:
            connection = self._connect()
        except BaseException as error:
            now = time.monotonic()
            with self._changed:
                self._connecting -= 1
                self._changed.notify_all()
                if not isinstance(error, psycopg.OperationalError):
                    raise
                self._away, self._away_until = error, now + max(TRY_AGAIN_S, now - began)
                if self._lent and now < deadline:
                    return None
            raise
        with self._changed:
            self._connecting -= 1
            self._lent += 1
            self._born[connection] = began
            if self._away is not None:
                self._away = None
                self._changed.notify_all()
        return connection, began

    def putconn(self, connection: Connection) -> None:
        """Take a connection back, whatever state it is in."""
        connection._pool = None  # noqa: SLF001 - see above
        now = time.monotonic()
        if self._closed or not _clean(connection) or now - self._born[connection] > OLD_S:
            self._drop(connection)
            return
        spare = []
        with self._changed:
            self._lent -= 1
            while self._idle and now - self._idle[0][1] > KEPT_S:
                spare.append(self._idle.popleft()[0])
            self._idle.append((connection, now))
            self._changed.notify()
        for one in spare:
            self._born.pop(one, None)
            one.close()

    def _drop(self, connection: Connection) -> None:
        connection.close()
        with self._changed:
            self._born.pop(connection, None)
            self._lent -= 1
            self._changed.notify()

    def forget_idle(self) -> None:
        """Close those that nobody uses: one that was lent got no answer, and each of them would cost as long a wait.

        Whoever asks next makes a new one, and so finds out.
        """
        with self._changed:
            idle = [connection for connection, _ in self._idle]
            self._idle.clear()
        for connection in idle:
            self._born.pop(connection, None)
            connection.close()

    def close(self) -> None:
        """Close what is idle now, and the others when they come back."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self.forget_idle()


def _works(connection: Connection, since: float) -> bool:
    """Tell whether an idle connection is still good. A server that has closed it has left its goodbye to be read."""
    if connection.closed:
        return False
    poll = select.poll()
    poll.register(connection.fileno(), select.POLLIN | select.POLLHUP | select.POLLERR)
    if not poll.poll(0) and time.monotonic() - since < ASK_AFTER_S:
        return True
    try:
        connection.autocommit = True
        connection.execute("")
    except psycopg.Error:
        return False
    return True


def _clean(connection: Connection) -> bool:
    """Tell whether a connection can be lent again; ends a transaction that was left open."""
    status = connection.info.transaction_status
    if status in {TransactionStatus.INTRANS, TransactionStatus.INERROR}:
        try:
            connection.rollback()
        except psycopg.Error:
            return False
    return status not in {TransactionStatus.ACTIVE, TransactionStatus.UNKNOWN} and not connection.closed
