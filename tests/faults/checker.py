"""What must be true of a run, whatever broke in it. Pure: histories in, violations out.

Everybody who took part leaves a history: each client (what it sent and how that ended, what it was shown), the
agents-server (what it was given), and at the end the database (what is stored). A command whose answer never came is
*unknown*: it may have happened or not, but not twice. The idea is Jepsen's; the invariants are AutoCode's promises.
"""

from __future__ import annotations

import itertools
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import Enum


class Outcome(Enum):
    """How a command ended for whoever sent it."""

    OK = "ok"
    FAIL = "fail"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Sent:
    """A command of a client. ``seq`` is the event that the answer named, if it named one.

    ``to_agents``: the agents-server is to hear of it.
    """

    key: str
    project: str
    outcome: Outcome
    seq: int | None = None
    to_agents: bool = False


@dataclass(frozen=True, slots=True)
class Shown:
    """A durable event as it came to a client: when (seconds of one clock for all), where, and what."""

    at: float
    project: str
    epoch: str
    seq: int
    digest: str


@dataclass(frozen=True, slots=True)
class Placed:
    """The answer to a join: from here on the client is to be shown what follows ``seq``.

    ``anew``: with a snapshot, so that what it had before does not count.
    """

    at: float
    project: str
    epoch: str
    seq: int
    anew: bool


@dataclass(slots=True)
class Client:
    """One client's history; ``shown`` holds both kinds, in the order in which they came."""

    name: str
    sent: list[Sent] = field(default_factory=list)
    shown: list[Shown | Placed] = field(default_factory=list)
    watches_to_the_end: bool = True
    removed_at: float | None = None
    """When it lost the right to see the projects, if it did."""


@dataclass(frozen=True, slots=True)
class Stored:
    """An event in the database; ``key`` is the command that made it, if one did."""

    project: str
    epoch: str
    seq: int
    digest: str
    key: str = ""


@dataclass(frozen=True, slots=True)
class Promise:
    """A row of the outbox at the end.

    ``reason`` says why it waits or died; ``command`` is what made it, if one did; ``again``: an operator sent it after
    it had died, out of its order.
    """

    key: str
    project: str
    state: str
    reason: str = ""
    command: str = ""
    again: bool = False


@dataclass(frozen=True, slots=True)
class Effect:
    """Something that the agents-server acted upon, in its order. Repeats that it recognised are not effects."""

    key: str
    project: str


@dataclass(frozen=True, slots=True)
class Reported:
    """Something that the agents-server reported, in its order, however often it sent it; ``key`` is in the log."""

    key: str
    project: str
    acked: bool = True


@dataclass(slots=True)
class History:
    """Everything about one run."""

    clients: list[Client]
    log: list[Stored]
    outbox: list[Promise] = field(default_factory=list)
    effects: list[Effect] = field(default_factory=list)
    reported: list[Reported] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)
    """Tracebacks, answers 5xx and closes 1011 that the fault does not excuse."""


@dataclass(frozen=True, slots=True)
class Violation:
    """A promise that was broken."""

    promise: str
    words: str


REVOKED_S = 1.0
"""How long after losing the right something may still be shown."""


def judge(history: History) -> list[Violation]:
    """Return every broken promise; none for a run that went well."""
    return [violation for check in CHECKS for violation in check(history)]


def acknowledged_is_stored(history: History) -> Iterator[Violation]:
    """C1: what was acknowledged is in the log, once, where the answer said."""
    places = _by_key(history.log)
    for client in history.clients:
        for sent in client.sent:
            found = places.get(sent.key, [])
            if sent.outcome is Outcome.OK and sent.seq is not None and [one.seq for one in found] != [sent.seq]:
                at = [one.seq for one in found]
                yield Violation("C1", f"{client.name}: {sent.key} was acknowledged at {sent.seq} and is at {at}")


def refused_is_not_stored(history: History) -> Iterator[Violation]:
    """C1: what was refused did not happen."""
    places = _by_key(history.log)
    for client in history.clients:
        later = {sent.key for sent in client.sent if sent.outcome is not Outcome.FAIL}
        for sent in client.sent:
            if sent.outcome is Outcome.FAIL and sent.key not in later and places.get(sent.key):
                yield Violation("C1", f"{client.name}: {sent.key} was refused and is in the log")


def log_is_dense(history: History) -> Iterator[Violation]:
    """C2: each project's numbers have no gap and no repeat."""
    by_project: dict[str, list[int]] = defaultdict(list)
    for one in history.log:
        by_project[one.project].append(one.seq)
    for project, seqs in by_project.items():
        ordered = sorted(seqs)
        if ordered != list(range(ordered[0], ordered[0] + len(ordered))):
            yield Violation("C2", f"{project}: the log is {_gaps(ordered)}")


def clients_saw_the_log(history: History) -> Iterator[Violation]:
    """C3, C4, C5: each client was shown a run of the log, in its order, each event once, nothing else."""
    stored = {(one.project, one.epoch, one.seq): one.digest for one in history.log}
    for client in history.clients:
        at: dict[str, tuple[str, int]] = {}
        for one in client.shown:
            known = at.get(one.project)
            if isinstance(one, Placed):
                if not one.anew and known is not None and known != (one.epoch, one.seq):
                    yield Violation("C3", f"{client.name}: recovered to {one.seq} of {one.epoch} from {known}")
                at[one.project] = one.epoch, one.seq
                continue
            if known is None:
                yield Violation("C5", f"{client.name}: {one.seq} of {one.project} came without a join")
                continue
            if one.epoch != known[0]:
                yield Violation("C3", f"{client.name}: {one.seq} belongs to another log")
            elif one.seq <= known[1]:
                yield Violation("C4", f"{client.name}: {one.seq} came after {known[1]}")
            elif one.seq != known[1] + 1:
                yield Violation("C3", f"{client.name}: {one.seq} came after {known[1]}: a gap")
            digest = stored.get((one.project, one.epoch, one.seq))
            if digest is None:
                yield Violation("C5", f"{client.name}: {one.seq} of {one.project} is not in the log")
            elif digest != one.digest:
                yield Violation("C3", f"{client.name}: {one.seq} of {one.project} was another event")
            at[one.project] = one.epoch, max(one.seq, known[1])


def commands_happen_once(history: History) -> Iterator[Violation]:
    """C6: one command makes one event at most, however often it was sent."""
    for key, found in _by_key(history.log).items():
        if len(found) > 1:
            yield Violation("C6", f"{key} happened {len(found)} times: {[one.seq for one in found]}")
    for client in history.clients:
        answers: dict[str, set[int]] = defaultdict(set)
        for sent in client.sent:
            if sent.outcome is Outcome.OK and sent.seq is not None:
                answers[sent.key].add(sent.seq)
        for key, seqs in answers.items():
            if len(seqs) > 1:
                yield Violation("C6", f"{client.name}: {key} was answered with {sorted(seqs)}")


def promises_are_kept(history: History) -> Iterator[Violation]:
    """C7: the agents-server acts on each promise once, in its project's order; what it did not get says why."""
    counted = Counter(effect.key for effect in history.effects)
    for key, times in counted.items():
        if times > 1:
            yield Violation("C7", f"{key} had {times} effects")
    known = {promise.key: promise for promise in history.outbox}
    for key in counted.keys() - known.keys():
        yield Violation("C7", f"{key} was never promised")
    projects = {promise.key: promise.project for promise in history.outbox}
    for effect in history.effects:
        if projects.get(effect.key, effect.project) != effect.project:
            yield Violation("C7", f"{effect.key} had its effect in another project")
    for promise in history.outbox:
        if promise.state == "acked" and not counted[promise.key]:
            yield Violation("C7", f"{promise.key} counts as delivered and had no effect")
        if promise.state not in {"acked", "dropped"} and not promise.reason:
            yield Violation("C7", f"{promise.key} is {promise.state} without a reason")
    order = {promise.key: place for place, promise in enumerate(history.outbox) if not promise.again}
    last: dict[str, int] = {}
    for effect in history.effects:
        place = order.get(effect.key)
        if place is None:
            continue
        if place < last.get(effect.project, -1):
            yield Violation("C7", f"{effect.key} came out of its project's order")
        last[effect.project] = max(place, last.get(effect.project, -1))


def commands_are_promised_once(history: History) -> Iterator[Violation]:
    """C7: what a person said to the agents and was accepted is promised to them once; what was refused is not."""
    promises = Counter(promise.command for promise in history.outbox if promise.command)
    for command, times in promises.items():
        if times > 1:
            yield Violation("C7", f"{command} was promised {times} times")
    for client in history.clients:
        accepted = {sent.key for sent in client.sent if sent.outcome is not Outcome.FAIL}
        for sent in client.sent:
            if not sent.to_agents:
                continue
            if sent.outcome is Outcome.OK and not promises[sent.key]:
                yield Violation("C7", f"{client.name}: {sent.key} was accepted and never promised")
            if sent.key not in accepted and promises[sent.key]:
                yield Violation("C7", f"{client.name}: {sent.key} was refused and promised all the same")


def reports_happen_once(history: History) -> Iterator[Violation]:
    """C7, the other way: what the agents-server reported is in the log once, in its project, in its order."""
    places = _by_key(history.log)
    last: dict[str, int] = defaultdict(int)
    for one in history.reported:
        found = places.get(one.key, [])
        if len(found) > 1 or (one.acked and not found):
            yield Violation("C7", f"{one.key} was reported and is {len(found)} times in the log")
        for stored in found:
            if stored.project != one.project:
                yield Violation("C7", f"{one.key} was reported for another project")
            elif stored.seq < last[one.project]:
                yield Violation("C7", f"{one.key} came out of the order in which it was reported")
            last[stored.project] = max(last[stored.project], stored.seq)


def strangers_see_nothing(history: History) -> Iterator[Violation]:
    """C8: whoever lost the right is shown nothing more."""
    for client in history.clients:
        if client.removed_at is None:
            continue
        for one in client.shown:
            if one.at > client.removed_at + REVOKED_S:
                yield Violation("C8", f"{client.name}: {one.seq} came {one.at - client.removed_at:.1f} s later")


def everybody_arrives(history: History) -> Iterator[Violation]:
    """C9: who looked on to the end has seen the end."""
    tops: dict[str, int] = defaultdict(int)
    for one in history.log:
        tops[one.project] = max(tops[one.project], one.seq)
    for client in history.clients:
        if not client.watches_to_the_end or client.removed_at is not None:
            continue
        reached: dict[str, int] = {}
        for shown in client.shown:
            reached[shown.project] = shown.seq
        for project, seq in reached.items():
            if seq != tops[project]:
                yield Violation("C9", f"{client.name}: ended at {seq} of {tops[project]} in {project}")


def nobody_complains(history: History) -> Iterator[Violation]:
    """C10: no traceback, no 5xx, no 1011 but those that the fault excuses."""
    for complaint in history.complaints:
        yield Violation("C10", complaint[:300])


CHECKS = (
    acknowledged_is_stored,
    refused_is_not_stored,
    log_is_dense,
    clients_saw_the_log,
    commands_happen_once,
    promises_are_kept,
    commands_are_promised_once,
    reports_happen_once,
    strangers_see_nothing,
    everybody_arrives,
    nobody_complains,
)


def _by_key(log: Iterable[Stored]) -> dict[str, list[Stored]]:
    found: dict[str, list[Stored]] = defaultdict(list)
    for one in log:
        if one.key:
            found[one.key].append(one)
    return found


def _gaps(ordered: Sequence[int]) -> str:
    """Return a run of numbers in words: where it breaks."""
    breaks = [f"{a}→{b}" for a, b in itertools.pairwise(ordered) if b != a + 1]
    return f"{ordered[0]}–{ordered[-1]} with {', '.join(breaks[:5])}"
