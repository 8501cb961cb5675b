"""A connection that does not wait for ever. Knows psycopg, not Django."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import psycopg
from psycopg import errors

_Late: Any = errors._WaitTimeout  # noqa: SLF001 - what `wait` is documented to raise

LOOK_S: Final = 0.1
"""How often a wait looks whether it should end; psycopg's own."""


class Connection(psycopg.Connection[Any]):
    """Gives up a server that is there and does not answer, as one that was stopped or hangs at its disk.

    The server's own timeouts end what it works on; nothing in the client does when it does not work at all, and its
    kernel goes on to confirm every packet.
    """

    patience: float | None = None
    """Seconds for one wait, which is a statement and its whole answer; None: as long as it takes."""
    on_silence: Callable[[], None] | None = None
    """Called when they are over."""

    def wait(self, gen: Any, interval: float = LOOK_S, timeout: float | None = None) -> Any:
        """See psycopg's. Raises ``OperationalError``, and is closed then: a late answer must not be another's."""
        patience = self.patience if timeout is None else timeout
        try:
            return super().wait(gen, interval, patience)
        except _Late:
            if timeout is not None:
                raise
            self.pgconn.finish()
            if self.on_silence is not None:
                self.on_silence()
            raise psycopg.OperationalError(f"the server has not answered for {patience:g} s") from None
