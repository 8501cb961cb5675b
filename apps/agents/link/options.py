"""The link's figures, with units and reasons; tests shrink them."""

from __future__ import annotations

from dataclasses import dataclass

SUBPROTOCOL = "autocode.agents.v1"
PROTOCOL = "autocode.v1"


@dataclass(frozen=True, slots=True)
class LinkOptions:
    """Seconds unless the name says otherwise."""

    open_timeout: float = 5.0
    welcome_timeout: float = 5.0
    """After that a server is taken for one that knows no ``hello``."""
    ping_interval: float = 15.0
    ping_timeout: float = 10.0
    """A half-open link is noticed within the sum of the two."""
    write_timeout: float = 30.0
    """For one frame to leave; an agents-server that reads nothing for so long is given up, even if it writes."""
    backoff_first: float = 0.5
    backoff_longest: float = 30.0
    down_after: float = 30.0
    """A link that has been gone this long is called down, not reconnecting."""
    leave_timeout: float = 5.0
    """For writing down what was settled when a connection ends; the next one finds the rest again."""
    lease_ttl: float = 15.0
    standby_poll: float = 1.0
    outbox_poll: float = 0.5
    """For promises of other processes; those of this one wake the link at once."""
    ack_timeout: float = 30.0
    sync_interval: float = 180.0
    view_interval: float = 1.0
    upkeep_interval: float = 1.0
    prune_interval: float = 60.0
    in_flight: int = 32
    """Promises on their way at once, one a project."""
    batch: int = 100
    """Messages of one project in one transaction."""
    lanes: int = 4
    """Projects whose messages are written at once."""
    frame_bytes: int = 1024 * 1024
    """What is taken. Up to four times that is still read, so that it can be refused by name."""
    backlog: int = 10_000
    """Messages read and not yet written; above, nothing more is read and the sender's socket fills up."""
    database_retry: float = 5.0
    """The longest pause while the database is away."""
