"""Texts that agents are still writing, so that a run's end can close them. In memory alone. Pure."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field

LONGEST = 32_768
"""Characters kept of one text: what a finished one may have."""
TEXTS = 5_000
ENDED = 20_000


@dataclass(slots=True)
class OpenText:
    """One text so far. ``kind``: message or thinking."""

    kind: str
    message_id: str
    agent_id: str
    pieces: list[str] = field(default_factory=list)
    length: int = 0

    @property
    def content(self) -> str:
        """The text so far."""
        return "".join(self.pieces)


class OpenTexts:
    """The open texts of all runs, and which runs have ended lately (late pieces of those are dropped)."""

    def __init__(self) -> None:
        self._texts: OrderedDict[tuple[str, str], dict[str, OpenText]] = OrderedDict()
        self._ended: OrderedDict[tuple[str, str], None] = OrderedDict()

    def add(self, guid: str, run_id: str, *, kind: str, message_id: str, agent_id: str, delta: str) -> bool:
        """Append a piece; False when the run has ended and the piece is to be dropped."""
        if (guid, run_id) in self._ended:
            return False
        run = self._texts.setdefault((guid, run_id), {})
        text = run.setdefault(message_id, OpenText(kind, message_id, agent_id))
        piece = delta[: max(0, LONGEST - text.length)]
        if piece:
            text.pieces.append(piece)
            text.length += len(piece)
        if len(self._texts) > TEXTS:
            self._texts.popitem(last=False)
        return True

    def of(self, guid: str, run_id: str) -> list[OpenText]:
        """Return the run's open texts, the oldest first."""
        return list(self._texts.get((guid, run_id), {}).values())

    def get(self, guid: str, run_id: str, message_id: str) -> OpenText | None:
        """Return one open text."""
        return self._texts.get((guid, run_id), {}).get(message_id)

    def close(self, guid: str, run_id: str, message_id: str) -> None:
        """Forget a text: it is finished."""
        self._texts.get((guid, run_id), {}).pop(message_id, None)

    def end(self, guid: str, run_id: str) -> None:
        """Forget a run: it has ended."""
        self._texts.pop((guid, run_id), None)
        self._ended[guid, run_id] = None
        if len(self._ended) > ENDED:
            self._ended.popitem(last=False)
