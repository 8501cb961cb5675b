"""The checker finds every kind of broken promise, and none in a run that went well."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable
from typing import Any

import pytest

from tests.faults.checker import Client, Effect, History, Outcome, Placed, Promise, Reported, Sent, Shown, Stored, judge

EVENTS = 12


def event(seq: int, *, project: str = "p", epoch: str = "e") -> Shown:
    return Shown(at=float(seq), project=project, epoch=epoch, seq=seq, digest=f"{project}{seq}")


def good() -> History:
    """One stays, one is cut and recovers, one begins anew, one is removed; a command is sent twice; a promise waits."""
    log = [Stored(p, "e", seq, f"{p}{seq}", key=f"{p}-k{seq}") for p in "pq" for seq in range(1, EVENTS + 1)]
    stays = Client("stays", shown=[Placed(0, "p", "e", 0, anew=True), *map(event, range(1, EVENTS + 1))])
    stays.sent = [
        Sent("p-k3", "p", Outcome.UNKNOWN),
        Sent("p-k3", "p", Outcome.OK, 3),
        Sent("p-k4", "p", Outcome.OK, 4),
        Sent("p-lost", "p", Outcome.UNKNOWN),
        Sent("p-no", "p", Outcome.FAIL),
        Sent("say-1", "p", Outcome.UNKNOWN, to_agents=True),
        Sent("say-1", "p", Outcome.OK, to_agents=True),
        Sent("say-2", "q", Outcome.OK, to_agents=True),
        Sent("say-no", "q", Outcome.FAIL, to_agents=True),
    ]
    cut = Client("cut", shown=[Placed(0, "p", "e", 2, anew=True), *map(event, range(3, 7))])
    cut.shown += [Placed(7.0, "p", "e", 6, anew=False), *map(event, range(7, EVENTS + 1))]
    anew = Client("anew", shown=[Placed(0, "q", "e", 0, anew=True), event(1, project="q"), event(2, project="q")])
    anew.shown += [Placed(9.0, "q", "e", 10, anew=True), event(11, project="q"), event(12, project="q")]
    gone = Client("gone", shown=[Placed(0, "p", "e", 0, anew=True), event(1), event(2)], removed_at=2.5)
    outbox = [Promise(f"o{n}", "p" if n % 2 else "q", "acked") for n in range(6)]
    outbox += [Promise("o6", "q", "pending", "the agents-server is away"), Promise("o7", "p", "dropped")]
    effects = [Effect(f"o{n}", "p" if n % 2 else "q") for n in (1, 0, 2, 3, 5, 4)]
    outbox.insert(0, Promise("o8", "p", "acked", again=True))
    effects.append(Effect("o8", "p"))
    for place, command in ((2, "say-1"), (7, "say-2")):
        another(outbox, place, command=command)
    reported = [Reported(f"{project}-k{seq}", project) for seq in (5, 6, 9) for project in "pq"]
    reported.append(Reported("lost", "p", acked=False))
    return History([stays, cut, anew, gone], log, outbox, effects, reported)


def test_a_run_that_went_well_breaks_no_promise() -> None:
    assert judge(good()) == []


def shown(history: History, name: str) -> list[Shown | Placed]:
    return next(client for client in history.clients if client.name == name).shown


def sent(history: History) -> list[Sent]:
    return history.clients[0].sent


def another(rows: list[Any], place: int, **fields: Any) -> Any:
    """Change fields of one row; return it."""
    rows[place] = dataclasses.replace(rows[place], **fields)
    return rows[place]


MUTATIONS: list[tuple[str, str, Callable[[History], object]]] = [
    ("an acknowledged write is lost", "C1", lambda h: h.log.__setitem__(3, Stored("p", "e", 4, "p4", key="other"))),
    ("an acknowledged write is elsewhere", "C1", lambda h: another(sent(h), 2, seq=5)),
    ("a refused write happened", "C1", lambda h: another(h.log, 7, key="p-no")),
    ("the log has a gap", "C2", lambda h: h.log.pop(5)),
    ("the log has a number twice", "C2", lambda h: h.log.append(Stored("p", "e", 7, "x"))),
    ("a client misses one", "C3", lambda h: shown(h, "stays").pop(5)),
    ("a client misses the first after its recovery", "C3", lambda h: shown(h, "cut").pop(6)),
    ("a recovery skips", "C3", lambda h: another(shown(h, "cut"), 5, seq=8)),
    ("a recovery is of another log", "C3", lambda h: another(shown(h, "cut"), 5, epoch="f")),
    ("an event is altered on its way", "C3", lambda h: another(shown(h, "stays"), 4, digest="x")),
    ("two events change places", "C4", lambda h: shown(h, "stays").insert(4, shown(h, "stays").pop(6))),
    ("an event comes twice", "C4", lambda h: shown(h, "stays").insert(4, event(3))),
    ("an old event comes again at the end", "C4", lambda h: shown(h, "stays").append(event(2))),
    ("a phantom", "C5", lambda h: shown(h, "stays").append(event(EVENTS + 1))),
    ("an event of a room that was not joined", "C5", lambda h: shown(h, "stays").insert(3, event(1, project="q"))),
    ("a command happened twice", "C6", lambda h: another(h.log, 8, key="p-k3")),
    ("an unknown one happened twice", "C6", lambda h: [another(h.log, place, key="u") for place in (8, 9)]),
    ("a repeat got another answer", "C6", lambda h: another(sent(h), 0, outcome=Outcome.OK, seq=2)),
    ("the agents act twice", "C7", lambda h: h.effects.append(Effect("o1", "p"))),
    ("a promise is lost though it counts as kept", "C7", lambda h: h.effects.pop(2)),
    ("promises change places", "C7", lambda h: h.effects.insert(0, h.effects.pop(3))),
    ("a promise that nobody made", "C7", lambda h: h.effects.append(Effect("o99", "p"))),
    ("a promise waits for no reason", "C7", lambda h: another(h.outbox, 7, reason="")),
    ("agents act in another project", "C7", lambda h: another(h.effects, 0, project="q")),
    ("what was sent again has its effect twice", "C7", lambda h: h.effects.append(Effect("o8", "p"))),
    ("an early one comes late, by itself", "C7", lambda h: another(h.outbox, 0, again=False)),
    ("a promise is on its way for ever", "C7", lambda h: another(h.outbox, 2, state="sent")),
    ("a promise died without a word", "C7", lambda h: another(h.outbox, 2, state="dead")),
    ("an accepted command is not promised", "C7", lambda h: another(h.outbox, 2, command="")),
    ("a command is promised twice", "C7", lambda h: another(h.outbox, 3, command="say-1")),
    ("a refused command is promised", "C7", lambda h: another(h.outbox, 5, command="say-no")),
    ("a report is lost", "C7", lambda h: h.reported.append(Reported("p-k99", "p"))),
    ("a report happened twice", "C7", lambda h: another(h.log, 9, key="p-k5")),
    ("a report happened elsewhere", "C7", lambda h: another(h.reported, 0, project="q")),
    ("reports change places", "C7", lambda h: h.reported.insert(0, h.reported.pop(4))),
    ("somebody removed looks on", "C8", lambda h: shown(h, "gone").append(dataclasses.replace(event(3), at=3.6))),
    ("somebody falls behind for ever", "C9", lambda h: shown(h, "stays").pop()),
    ("somebody began anew and stayed there", "C9", lambda h: [shown(h, "anew").pop() for _ in range(2)]),
    ("a traceback", "C10", lambda h: h.complaints.append("Traceback (most recent call last)")),
]  # fmt: skip


@pytest.mark.parametrize(("promise", "mutate"), [row[1:] for row in MUTATIONS], ids=[row[0] for row in MUTATIONS])
def test_each_broken_promise_is_found(promise: str, mutate: Callable[[History], object]) -> None:
    history = copy.deepcopy(good())
    mutate(history)
    assert promise in {violation.promise for violation in judge(history)}


def test_a_removed_member_may_still_be_shown_what_was_on_its_way() -> None:
    history = good()
    shown(history, "gone").append(dataclasses.replace(event(3), at=3.4))
    assert judge(history) == []
