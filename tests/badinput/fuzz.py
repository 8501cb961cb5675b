"""Coverage-guided fuzzing of everything that reads foreign bytes.

    python -m tests.badinput.fuzz --minutes 5            # all readers; --only link for one of them
    python -m tests.badinput.fuzz --minutes 5 --seed 7   # the same inputs again (as far as time allows)

An input is kept when it reaches a line from a line that no input reached before, or reaches it more often (in powers
of two). A finding is an exception that the reader does not document, or a second of work for at most 64 KiB; it is
made small, written to ``corpus/`` and ends up in the tests by lying there. The exit code is 1 if there was one.

Why our own loop: Atheris is built for one Python at a time and has no wheels for all that the project supports; what
is fuzzed here is Python from end to end, so ``sys.settrace`` sees all of it, at some thousand inputs a second.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from types import CodeType, FrameType
from typing import Any, Final

CORPUS: Final = Path(__file__).parent / "corpus"
ROOT: Final = Path(__file__).resolve().parents[2]
WATCHED: Final = ("apps/realtime/", "apps/agents/link/", "apps/accounts/api/", "apps/core/")
LONGEST: Final = 65_536
USUAL: Final = 2_048
"""Bytes of most inputs: tracing makes long ones slow, and they reach little that short ones do not."""
SLOW_S: Final = 1.0
OFTEN: Final = 7
"""Edges that are taken more than 2^7 times are not told apart."""

TOKENS: Final = [
    *(b'{ } [ ] , : " \\ \\u0000 \\ud800 \\udc00 \\u0041 null true false NaN Infinity -0 1e400 1.0 0.1e-9 '
      b'9007199254740991 9007199254740992 -9007199254740993 99999999999999999999 "" "a" {} [] [{}] \\" \\\\ '
      b'\xef\xbb\xbf \xff \xc3\xa9 \xed\xa0\x80 \xf0\x9f\x9a\x80 \x00 "type": "data": "payload": "id": "projectGuid": '
      b'"project_id": "action": "topic": "offset": "timestamp": "token": "seq": "t": "message": "title": "taskId": '
      b'"decision": "args": "status": "delta": "version": "2026-01-01T00:00:00Z" '
      b'"0190a0de-0000-7000-8000-000000000000" \x81 \x82 \x88 \x89 \xfe \x80\x00\x00\x00\x00').split(b" "),
    b" ", b"\n",
]  # fmt: skip

Reader = Callable[[bytes], Any]
Edge = tuple[CodeType, int, int, int]


def traced(read: Reader, data: bytes, watched: dict[CodeType, bool]) -> set[Edge]:
    """Call ``read`` and return the edges between lines that it took, with how often. Raises what ``read`` raises."""
    edges: dict[tuple[CodeType, int, int], int] = {}

    def enter(frame: FrameType, event: str, argument: Any) -> Any:
        code = frame.f_code
        if code not in watched:
            watched[code] = any(part in code.co_filename for part in WATCHED) or "tests/badinput" in code.co_filename
        if not watched[code]:
            return None
        last = 0

        def line(frame: FrameType, event: str, argument: Any) -> Any:
            nonlocal last
            edge = (code, last, frame.f_lineno)
            last = frame.f_lineno
            edges[edge] = edges.get(edge, 0) + 1
            return line

        return line

    sys.settrace(enter)
    try:
        read(data)
    finally:
        sys.settrace(None)
    return {(*edge, min(count.bit_length(), OFTEN)) for edge, count in edges.items()}


@dataclass
class Finding:
    """What a reader must not do with ``data``."""

    reader: str
    data: bytes
    what: str

    def save(self, folder: Path) -> Path:
        """Write the input where the tests find it."""
        path = folder / f"{self.reader}-{hashlib.sha256(self.data).hexdigest()[:12]}"
        path.write_bytes(self.data)
        return path


@dataclass
class Fuzzer:
    """The loop for one reader."""

    name: str
    read: Reader
    dice: random.Random
    corpus: list[bytes] = field(default_factory=list)
    seen: set[Edge] = field(default_factory=set)
    findings: dict[str, Finding] = field(default_factory=dict)
    executions: int = 0
    _watched: dict[CodeType, bool] = field(default_factory=dict)

    def try_one(self, data: bytes) -> None:
        """Run the reader on ``data``; keep it if it is new."""
        self.executions += 1
        began = time.process_time()
        try:
            edges = traced(self.read, data, self._watched)
        except Exception as error:
            self._found(type(error), data, f"{type(error).__name__}: {error}"[:300])
            return
        if time.process_time() - began > SLOW_S and (seconds := self._seconds(data)) > SLOW_S:
            self._found(TimeoutError, data, f"took {seconds:.1f} s for {len(data)} bytes", small=False)
        if not edges <= self.seen:
            self.seen |= edges
            if len(data) <= USUAL:
                self.corpus.append(data)

    def _seconds(self, data: bytes) -> float:
        began = time.process_time()
        self.read(data)
        return time.process_time() - began

    def _found(self, kind: type[Exception], data: bytes, what: str, *, small: bool = True) -> None:
        if what.partition(":")[0] in self.findings:
            return
        smallest = self._smaller(kind, data) if small else data
        self.findings[what.partition(":")[0]] = Finding(self.name, smallest, what)

    def _smaller(self, kind: type[Exception], data: bytes) -> bytes:
        """Return ``data`` without parts that the failure does not need."""
        size = len(data) // 2
        while size:
            at = 0
            while at < len(data):
                shorter = data[:at] + data[at + size :]
                try:
                    self.read(shorter)
                    at += size
                except kind:
                    data = shorter
                except Exception:
                    at += size
            size //= 2
        return data

    def run(self, seconds: float, *, findings: float = float("inf")) -> None:
        """Go on until the time is over or so much was found."""
        end = time.monotonic() + seconds
        while time.monotonic() < end and len(self.findings) < findings:
            # The newest inputs reach what was reached last: half of the tries go to them.
            recent = self.corpus[-20:] if self.dice.random() < 0.5 else self.corpus
            self.try_one(self.mutated(self.dice.choice(recent)))

    def mutated(self, data: bytes) -> bytes:
        """Return ``data`` changed in a few places."""
        longest = LONGEST if self.dice.random() < 0.01 else USUAL
        for _ in range(self.dice.choice((1, 1, 2, 4, 8))):
            data = self.dice.choice(MUTATIONS)(self.dice, data, self.corpus)[:longest]
        return data


def flipped(dice: random.Random, data: bytes, corpus: list[bytes]) -> bytes:
    """One bit."""
    if not data:
        return b"\x00"
    at = dice.randrange(len(data))
    return data[:at] + bytes([data[at] ^ (1 << dice.randrange(8))]) + data[at + 1 :]


def with_token(dice: random.Random, data: bytes, corpus: list[bytes]) -> bytes:
    """A token inserted, or over what was there."""
    token, at = dice.choice(TOKENS), dice.randint(0, len(data))
    return data[:at] + token + data[at + dice.choice((0, 0, 1, len(token))) :]


def cut(dice: random.Random, data: bytes, corpus: list[bytes]) -> bytes:
    """A part less."""
    at = dice.randint(0, len(data))
    return data[:at] + data[at + dice.choice((1, 2, 4, 16, 64)) :]


def repeated(dice: random.Random, data: bytes, corpus: list[bytes]) -> bytes:
    """A part again, perhaps very often."""
    at = dice.randint(0, len(data))
    part = data[at : at + dice.choice((1, 2, 5, 20))]
    return data[:at] + part * dice.choice((2, 3, 17, 65, 201, 20_000)) + data[at:]


def spliced(dice: random.Random, data: bytes, corpus: list[bytes]) -> bytes:
    """The beginning of one and the end of another."""
    other = dice.choice(corpus)
    return data[: dice.randint(0, len(data))] + other[dice.randint(0, len(other)) :]


def nested(dice: random.Random, data: bytes, corpus: list[bytes]) -> bytes:
    """All of it inside of something."""
    before, after = dice.choice(((b"[", b"]"), (b'{"data":', b"}"), (b'{"":', b"}"), (b'"', b'"')))
    times = dice.choice((1, 1, 2, 15, 16, 17, dice.randint(900, 1_000)))
    return before * times + data + after * times


def replanted(dice: random.Random, data: bytes, corpus: list[bytes]) -> bytes:
    """As JSON: one value replaced by a value of another input."""
    try:
        value, other = json.loads(data), json.loads(dice.choice(corpus))
    except (ValueError, RecursionError):
        return with_token(dice, data, corpus)
    places: list[tuple[Any, Any]] = []
    _places(value, places)
    if places:
        holder, key = dice.choice(places)
        holder[key] = other
    try:
        return json.dumps(value).encode()
    except (ValueError, RecursionError):
        return data


def _places(value: Any, places: list[tuple[Any, Any]], depth: int = 0) -> None:
    items: Iterable[tuple[Any, Any]] = ()
    if isinstance(value, dict):
        items = value.items()
    elif isinstance(value, list):
        items = enumerate(value)
    for key, inner in items:
        places.append((value, key))
        if depth < 20:
            _places(inner, places, depth + 1)


MUTATIONS: Final = (flipped, with_token, with_token, cut, repeated, spliced, nested, replanted, replanted)


def seeds() -> list[bytes]:
    """Return the first inputs: a message of each type, the catalogue of bad JSON, and what was found once."""
    from apps.agents.link.messages import INBOUND
    from apps.realtime.commands import COMMANDS
    from tests.badinput.rows import VALUES, WHOLE, holding
    from tests.serve.raw import frame

    kinds = {name: row.payload for name, row in COMMANDS.items()} | dict(INBOUND)
    messages = [
        json.dumps({"type": name, "id": "a", "data": dict.fromkeys(kind.__struct_encode_fields__, "x")}).encode()
        for name, kind in kinds.items()
    ]
    texts = [one.text for one in WHOLE] + [holding(one.text) for one in VALUES]
    rows = [text.encode("utf-8", "surrogatepass") for text in texts if len(text) < 2_000]
    messages += [b'{"action":"subscribe","topic":"x","id":"a"}', b'{"action":"ping"}', b'[{"type":"ping"}]']
    frames = [frame(0x81, message) for message in messages[:5]] + [frame(0x81, b"x" * 200)]
    return [*(path.read_bytes() for path in sorted(CORPUS.iterdir())), *messages, *rows, *frames]


def main() -> int:
    """Fuzz; return the exit code."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "autocode.settings.test")
    import django

    django.setup()
    from tests.badinput.decoders import READERS

    arguments = argparse.ArgumentParser(
        prog="python -m tests.badinput.fuzz", description=(__doc__ or "").split("\n")[0]
    )
    arguments.add_argument("--minutes", type=float, default=5.0)
    arguments.add_argument("--seed", type=int, default=random.SystemRandom().randrange(2**32))
    arguments.add_argument("--only", choices=sorted(READERS))
    given = arguments.parse_args()
    names = [given.only] if given.only else sorted(READERS)
    print(f"seed {given.seed}", flush=True)
    failed = False
    for name in names:
        fuzzer = Fuzzer(name, READERS[name], random.Random(f"{given.seed} {name}"))
        for data in seeds():
            fuzzer.try_one(data)
        fuzzer.run(seconds=given.minutes * 60 / len(names))
        print(f"{name}: {fuzzer.executions} inputs, {len(fuzzer.seen)} edges, {len(fuzzer.corpus)} kept", flush=True)
        for finding in fuzzer.findings.values():
            failed = True
            print(
                f"  {finding.what}\n  {finding.data[:200]!r}\n  in {finding.save(CORPUS).relative_to(ROOT)}", flush=True
            )
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
