"""The agents-server that the benchmark plays: AutoCode connects to it, and it says what a coding agent would say.

Speaks only what is measured: hello and welcome, acks both ways, short-lived ``tool_output`` pieces, and durable
``agent_message`` events with a bounded number on their way. Contract: ``apps/agents/link/messages.py``.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import socket
import time
from collections import deque

from tests.bench.load import wire
from tests.bench.load.engine import Engine

SUBPROTOCOL = "autocode.agents.v1"
AGENT = "bench-agent"
RUN = "bench-run"


class AgentsServer:
    """Listens on a loopback port; at most one link, the newest, is AutoCode's."""

    def __init__(self, engine: Engine | None = None) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=16)
        self._listener.setblocking(False)
        self.port: int = self._listener.getsockname()[1]
        self.projects: list[str] = []
        self.connected = False
        self.refused: list[str] = []
        self.acknowledged = 0
        self.unanswered = 0
        """Messages with an id that were sent and neither acknowledged nor refused yet."""
        self._engine: Engine | None = None
        self._link: socket.socket | None = None
        self._carry = b""
        self._upgraded = False
        self._out: deque[bytes] = deque()
        self._epoch = f"{os.getpid()}-{time.monotonic_ns()}"
        self._offset = 0
        if engine is not None:
            self.attach(engine)

    def attach(self, engine: Engine) -> None:
        """Be served by the loop of ``engine`` from now on."""
        self._engine = engine
        engine.watch(self._listener.fileno(), select.EPOLLIN, self._accept)
        if self._link is not None:
            engine.watch(self._link.fileno(), select.EPOLLIN, self._ready)

    def abandon(self) -> None:
        """End the link and the listener; the engine is closed already."""
        self._engine = None
        self._unlink()
        self._listener.close()

    # --- what is said -------------------------------------------------------------------------------------------

    def introduce(self) -> None:
        """Tell of one agent with one open run in each project; done when ``unanswered`` is 0 again."""
        for guid in self.projects:
            agent = {"agentId": AGENT, "name": "Bench", "role": "load", "kind": "coder"}
            self._durable("agent_spawned", guid, {"agent": agent})
            self._durable("run_started", guid, {"runId": RUN, "agentId": AGENT})

    def piece(self, room: int, number: int, text: str) -> None:
        """Send a short-lived piece of a stream of its own, so that nothing can be merged with anything."""
        data = {"toolCallId": f"call-{number}", "runId": RUN, "delta": text}
        self._send({"type": "tool_output", "projectGuid": self.projects[room], "data": data})

    def event(self, room: int, number: int, text: str) -> None:
        """Send a durable event: an agent's word to the people, kept in the log and acknowledged after its commit."""
        self._durable("agent_message", self.projects[room], {"agentId": AGENT, "content": text, "format": "text"})

    def _durable(self, kind: str, guid: str, data: dict[str, object]) -> None:
        self._offset += 1
        self.unanswered += 1
        identity = f"{self._epoch}-{self._offset}"
        self._send({"type": kind, "id": identity, "projectGuid": guid, "data": data, "offset": self._offset})

    def _send(self, envelope: dict[str, object]) -> None:
        self._write(wire.server_frame(json.dumps(envelope, separators=(",", ":")).encode()))

    # --- the socket ---------------------------------------------------------------------------------------------

    def _accept(self, _event: int) -> None:
        link, _ = self._listener.accept()
        link.setblocking(False)
        link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._unlink()
        self._link = link
        if self._engine is not None:
            self._engine.watch(link.fileno(), select.EPOLLIN, self._ready)

    def _unlink(self) -> None:
        link, self._link = self._link, None
        self._carry, self._upgraded, self.connected = b"", False, False
        self._out.clear()
        if link is not None:
            if self._engine is not None:
                self._engine.forget(link.fileno())
            link.close()

    def _ready(self, event: int) -> None:
        if self._link is None:
            return
        if event & select.EPOLLOUT:
            self._flush()
        if not event & (select.EPOLLIN | select.EPOLLHUP | select.EPOLLERR):
            return
        try:
            data = self._link.recv(1 << 18)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._unlink()
            return
        self._carry += data
        if not self._upgraded and not self._upgrade():
            return
        found, used = wire.frames(self._carry)
        self._carry = self._carry[used:]
        for opcode, content in found:
            self._frame(opcode, content)

    def _upgrade(self) -> bool:
        head, separator, rest = self._carry.partition(b"\r\n\r\n")
        if not separator:
            return False
        self._upgraded, self._carry = True, rest
        self._write(wire.response(head + separator, subprotocol=SUBPROTOCOL))
        return True

    def _write(self, data: bytes) -> None:
        self._out.append(data)
        if len(self._out) == 1:
            self._flush()

    def _flush(self) -> None:
        if self._link is None or self._engine is None:
            return
        with contextlib.suppress(BlockingIOError):
            while self._out:
                data = self._out[0]
                sent = self._link.send(data)
                if sent < len(data):
                    self._out[0] = data[sent:]
                    break
                self._out.popleft()
        more = select.EPOLLOUT if self._out else 0
        self._engine.watch(self._link.fileno(), select.EPOLLIN | more, self._ready)

    # --- what is heard ------------------------------------------------------------------------------------------

    def _frame(self, opcode: int, content: bytes) -> None:
        if opcode == wire.PING:
            self._write(wire.server_frame(content, wire.PONG))
        elif opcode == wire.CLOSE:
            self._write(wire.server_frame(content[:2], wire.CLOSE))
        elif opcode == wire.TEXT:
            value = json.loads(content)
            for envelope in value if isinstance(value, list) else [value]:
                self._envelope(envelope)

    def _envelope(self, envelope: dict[str, object]) -> None:
        data = envelope.get("data")
        fields: dict[str, object] = data if isinstance(data, dict) else {}
        match envelope.get("type"):
            case "hello":
                welcome = {"serverId": "bench", "epoch": self._epoch, "offset": self._offset, "acks": True}
                self._send({"type": "welcome", "projectGuid": None, "data": welcome})
                self.connected = True
            case "ack":
                identities = fields.get("ids") or [fields.get("id")]
                count = len(identities) if isinstance(identities, list) else 1
                self.acknowledged += count
                self.unanswered -= count
            case "nack" | "error":
                self.refused.append(json.dumps(fields)[:300])
                self.unanswered -= 1
            case "ping":
                self._send({"type": "pong", "projectGuid": None, "data": {"t": fields.get("t")}})
            case "pong":
                pass
            case _:
                if "id" in envelope:
                    self._send({"type": "ack", "projectGuid": None, "data": {"id": envelope["id"]}})
