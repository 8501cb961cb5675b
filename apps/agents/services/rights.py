"""Who may tell what agents did."""

from __future__ import annotations

from apps.core.actor import Actor
from apps.core.errors import Forbidden


def only_trusted(actor: Actor) -> None:
    """Let the agents link and AutoCode itself pass, also in an archived project: what is open there still ends.

    Raises ``Forbidden`` for everybody else.
    """
    if not actor.trusted:
        raise Forbidden
