"""``fold.js`` does exactly what ``apps/agents/fold.py`` does, for every event type and every field.

Events are built from the payload structs themselves, so a new field or type takes part without a change here; ids come
from small pools, so that later events meet earlier ones.
"""

from __future__ import annotations

import functools
import json
import random
import subprocess
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest

from apps.agents import events as a
from apps.agents import fold as f
from apps.core.events import EventClass, Payload, catalogue, to_builtins
from apps.projects import events as p
from tests.client.node import node

HERE = Path(__file__).parent
TEXTS = ["", "plain", "日本語", "𝒳 🙂", 'a\nb\t"c"\\', "<b>&amp;</b>", "__proto__", "\u2028", "é" * 40, "0"]
MONEY = ["0", "0.00", "0.10", "12.3456", "999999999999.99999999", "0.00000001", "1", "7.5", "100", "1000000", "0.30"]
POOL = 20

DURABLE = {name: row.payload for name, row in catalogue().items() if EventClass.DURABLE in row.classes}


@functools.cache
def shape(cls: Any) -> list[tuple[str, bool, Any]]:
    """Return name, whether it is required, and type of each field."""
    return [
        (field.name, field.required, msgspec.inspect.type_info(field.type)) for field in msgspec.structs.fields(cls)
    ]


class Build:
    """Random but valid values of a type."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)

    def struct(self, cls: Any, **fixed: Any) -> Any:
        """Return an instance: each optional field is sometimes left to its default."""
        values: dict[str, Any] = {}
        for name, required, kind in shape(cls):
            if name in fixed:
                values[name] = fixed[name]
            elif required or self.random.random() < 0.7:
                values[name] = self.value(name, kind)
        return cls(**values)

    def value(self, name: str, kind: Any) -> Any:
        """Return a value for the field ``name`` of this msgspec type."""
        match kind:
            case msgspec.inspect.UnionType():
                return self.value(name, self.random.choice(kind.types))
            case msgspec.inspect.StructType():
                return self.struct(kind.cls)
            case msgspec.inspect.ListType():
                return [self.value(name, kind.item_type) for _ in range(self.random.randrange(4))]
            case msgspec.inspect.DictType():
                keys = [self.random.choice(TEXTS) + str(i) for i in range(self.random.randrange(3))]
                return {key: self.value(name, kind.value_type) for key in keys}
            case msgspec.inspect.StrType():
                return self.text(name)
        return self.random.choice(self.scalars(kind))

    def scalars(self, kind: Any) -> list[Any]:
        """Return values of a simple type."""
        match kind:
            case msgspec.inspect.NoneType():
                return [None]
            case msgspec.inspect.BoolType():
                return [False, True]
            case msgspec.inspect.EnumType():
                return list(kind.cls)
            case msgspec.inspect.IntType():
                return [0, 1, 2, 3, self.random.randrange(1000), 2**40]
            case msgspec.inspect.FloatType():
                return [0.0, 1.0, 2.5, self.random.random(), -self.random.random(), 1e15]
            case msgspec.inspect.AnyType():
                return [None, True, 3, 2.5, "x", [1, {"a": []}], {"b": {"c": None}}]
        raise AssertionError(f"no rule for {kind}")

    def text(self, name: str) -> str:
        """Return a string: an id from a small pool, an amount, or anything."""
        if name in {"total_cost", "cost", "limit", "spent"}:
            return self.random.choice(MONEY)
        if name.endswith(("_id", "_ids")) or name in {"id", "depends_on"}:
            return self.random.choice(["", "x", "🙂", "\uffee"]) + str(self.random.randrange(POOL))
        return self.random.choice(TEXTS)

    def event(self, kind: str, state: f.Snapshot) -> Payload:
        """Return a payload of this type; often about something that the state knows."""
        fixed: dict[str, Any] = {}
        rnd = self.random
        if kind == "user_feedback_response":
            view = self.struct(a.FeedbackView)
            # A new one begins with "received": enough of them to pass the window's end.
            state_ = rnd.choice([a.FeedbackState.RECEIVED, rnd.choice(list(a.FeedbackState))])
            fixed = {"feedback": view, "feedback_id": view.feedback_id, "state": state_}
        if kind == "tool_end" and state.tool_calls and rnd.random() < 0.7:
            call = rnd.choice(state.tool_calls)
            fixed = {"run_id": call.run_id, "tool_call_id": call.tool_call_id}
        if kind == "approval_resolved" and state.approvals and rnd.random() < 0.7:
            fixed = {"approval_id": rnd.choice(state.approvals).approval_id}
        if kind in {"done", "usage"} and state.runs and rnd.random() < 0.7:
            fixed = {"run_id": rnd.choice(state.runs).run_id}
        if kind == "project_message" and rnd.random() < 0.5:
            asked = [message.message_id for message in state.messages if message.waiting_user_response]
            fixed = {"kind": p.MessageKind.USER, "reply_to_id": rnd.choice(asked)} if asked else {}
        return self.struct(DURABLE[kind], **fixed)


def start() -> f.Snapshot:
    project = p.ProjectView(
        guid="g", name="n", description="", brief="", status=p.ProjectStatus.DRAFT, status_reason="", created_at="t"
    )
    return f.Snapshot(project=project, epoch="e", last_seq=0)


def plain(state: f.Snapshot) -> Any:
    return json.loads(msgspec.json.encode(state))


def story(seed: int, length: int, kinds: list[str], every: int) -> tuple[str, list[Any]]:
    """Return the line for JavaScript, and Python's states at the same places."""
    build = Build(seed)
    state = start()
    first = plain(state)
    events, states = [], []
    for seq in range(1, length + 1):
        kind = build.random.choice(kinds)
        payload = build.event(kind, state)
        data = to_builtins(payload)
        at = f"2026-01-01T00:00:00.{seq % 1000:03d}Z"
        events.append({"type": kind, "projectGuid": "g", "seq": seq, "timestamp": at, "data": data})
        f.fold(state, f.Recorded(seq=seq, type=kind, at=at, payload=payload, data=data))
        if seq % every == 0 or seq == length:
            states.append(plain(state))
    line = msgspec.json.encode({"snapshot": first, "events": events, "every": every}).decode()
    return line, states


def in_javascript(lines: list[str]) -> list[Any]:
    done = subprocess.run(
        [node(), str(HERE / "fold_stdin.js")],
        input="\n".join(lines) + "\n",
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.split("\n") if line]


def assert_same(stories: list[tuple[str, list[Any]]]) -> None:
    for (_, wanted), got in zip(stories, in_javascript([line for line, _ in stories]), strict=True):
        assert len(wanted) == len(got)
        for place, (ours, theirs) in enumerate(zip(wanted, got, strict=True)):
            assert ours.keys() == theirs.keys()
            for part in ours:
                assert ours[part] == theirs[part], f"{part} at checkpoint {place}"


def test_both_know_the_same_types() -> None:
    assert set(in_javascript(["{}"])[0]) == f.FOLDED_TYPES
    assert set(DURABLE) == f.FOLDED_TYPES


@pytest.mark.parametrize("kind", sorted(DURABLE))
def test_each_type_alone(kind: str) -> None:
    """Also past the end of every window."""
    assert_same([story(seed, 160, [kind], 20) for seed in range(3)])


def test_types_that_belong_together() -> None:
    groups = [
        ["run_started", "done", "usage"],
        ["tool_start", "tool_end"],
        ["approval_needed", "approval_resolved"],
        ["agent_spawned", "agent_status_update"],
        ["project_message", "agent_message", "message", "thinking", "platform_message"],
        ["task_created", "task_updated", "task_status_changed", "task_deleted", "tasks_reset"],
        ["user_feedback_response"],
    ]
    assert_same([story(seed, 300, group, 10) for group in groups for seed in range(8)])


def test_everything_at_once() -> None:
    assert_same([story(seed, 250, sorted(DURABLE), 25) for seed in range(100)])
    assert_same([story(seed, 3_000, sorted(DURABLE), 500) for seed in range(1000, 1004)])


def test_money_is_summed_to_the_last_digit() -> None:
    """Amounts that binary fractions cannot hold, exponents, more digits than a context has."""
    rnd = random.Random(5)
    amounts = [
        "1E+3",
        "1e-7",
        "0E+5",
        ".5",
        "5.",
        "+1.50",
        "9" * 28,
        "0.5",
        "1" + "0" * 27 + ".5",
        "9" * 30,
        "-3.25",
        "-0.00",
    ]
    stories = []
    for _ in range(60):
        build = Build(rnd.randrange(2**32))
        state = start()
        first = plain(state)
        events, states = [], []
        for seq in range(1, 21):
            cost = rnd.choice([*amounts, *MONEY, str(Decimal(rnd.randrange(10**20)).scaleb(-rnd.randrange(20)))])
            payload = build.struct(a.Done, usage=build.struct(a.UsageTotals, total_cost=cost))
            data = to_builtins(payload)
            events.append({"type": "done", "seq": seq, "timestamp": "t", "data": data})
            f.fold(state, f.Recorded(seq=seq, type="done", at="t", payload=payload, data=data))
            states.append(plain(state))
        stories.append((json.dumps({"snapshot": first, "events": events, "every": 1}), states))
    assert_same(stories)
