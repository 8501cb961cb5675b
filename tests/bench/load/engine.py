"""The load: thousands of viewers in one process, on epoll and plain sockets.

A delivery costs this process about four microseconds, mostly the two system calls, so one core of it keeps up with
servers several times faster than those it measures. asyncio would cost more than some of the servers do.
"""

from __future__ import annotations

import contextlib
import errno
import select
import socket
from collections import deque
from collections.abc import Callable, Iterable, Sequence

from tests.bench.load import payload, wire
from tests.bench.load.dialects import Dialect
from tests.bench.load.viewer import Phase, Plan, Record, Viewer, clock

BUFFER = 256 * 1024
"""Bytes of one read; more only waits for the next turn."""

RETRY_S = 0.2
"""A refused or broken handshake is tried again after this: a listen queue that is full is part of the measurement."""

BEATS = 50
"""Signs of life are spread over so many moments of the heartbeat's interval."""


class Engine:
    """All viewers of one server, and the loop that serves them."""

    def __init__(self, dialect: Dialect, port: int) -> None:
        self.dialect = dialect
        self.port = port
        self.viewers: list[Viewer] = []
        self.record = Record()
        self.deliveries = 0
        self.frames = 0
        self.disorder = 0
        """Messages that came again, or after one that was published later."""
        self.joined = 0
        self.closed = 0
        self.failures: list[str] = []
        self.publish: Callable[[int, int, str], None] = self._say
        """(room, number, payload): replaced where messages come by another way than a viewer."""
        self._epoll = select.epoll()
        self._by_fd: dict[int, Viewer] = {}
        self._others: dict[int, Callable[[int], None]] = {}
        self._speakers: dict[int, Viewer] = {}
        self._queue: deque[Viewer] = deque()
        self._retries: deque[tuple[int, Viewer]] = deque()
        self._opening = 0
        self._window = 0
        self._buffer = bytearray(BUFFER)
        beat = dialect.heartbeat
        self._beat = wire.client_frame(beat[1].encode()) if beat else b""
        self._beat_ns = int(beat[0] * 1e9 / BEATS) if beat else 0
        self._beat_due, self._beat_turn = clock() + self._beat_ns, 0

    # --- opening and closing ------------------------------------------------------------------------------------

    def open(self, seats: Iterable[tuple[int, int]], *, window: int, narrow: bool = False) -> list[Viewer]:
        """Begin to connect viewers for the (seat, room) pairs, at most ``window`` at a time; ``run`` does the rest."""
        added = [Viewer(seat, room, narrow=narrow) for seat, room in seats]
        self.viewers.extend(added)
        self._queue.extend(added)
        self._window = window
        self._fill()
        return added

    def close(self) -> None:
        """Drop every connection."""
        for viewer in self.viewers:
            with contextlib.suppress(OSError):
                viewer.sock.close()
        self._epoll.close()

    def watch(self, fd: int, events: int, ready: Callable[[int], None]) -> None:
        """Call ``ready`` with the events of a socket that is no viewer's."""
        if fd in self._others:
            self._epoll.modify(fd, events)
        else:
            self._epoll.register(fd, events)
        self._others[fd] = ready

    def forget(self, fd: int) -> None:
        """Stop watching what ``watch`` watched."""
        if self._others.pop(fd, None) is not None:
            self._epoll.unregister(fd)

    def stop_reading(self, viewer: Viewer) -> None:
        """Leave all that arrives for ``viewer`` unread; only its end is noticed."""
        self._epoll.modify(viewer.fd, select.EPOLLRDHUP)

    def _fill(self) -> None:
        while self._queue and self._opening < self._window:
            self._opening += 1
            self._connect(self._queue.popleft())

    def _connect(self, viewer: Viewer) -> None:
        viewer.started = viewer.started or clock()
        self._by_fd[viewer.fd] = viewer
        self._epoll.register(viewer.fd, select.EPOLLOUT)
        code = viewer.sock.connect_ex(("127.0.0.1", self.port))
        if code not in {0, errno.EINPROGRESS}:
            self._retry(viewer, errno.errorcode[code])

    def _retry(self, viewer: Viewer, why: str) -> None:
        self.failures.append(why)
        self._drop(viewer)
        viewer.fresh()
        self._retries.append((clock() + int(RETRY_S * 1e9), viewer))

    def _drop(self, viewer: Viewer) -> None:
        self._by_fd.pop(viewer.fd, None)
        with contextlib.suppress(OSError):
            self._epoll.unregister(viewer.fd)
        viewer.sock.close()

    def _lost(self, viewer: Viewer, why: str) -> None:
        """The server ended the connection: try again while joining, remember it afterwards."""
        if viewer.phase is Phase.JOINED:
            viewer.phase = Phase.CLOSED
            self.closed += 1
            self.joined -= 1
            self._drop(viewer)
        elif viewer.phase is not Phase.CLOSED:
            self._retry(viewer, why)

    # --- the loop -----------------------------------------------------------------------------------------------

    def run(self, seconds: float, *, plan: Plan | None = None, stop: Callable[[], bool] | None = None) -> None:
        """Serve all sockets for ``seconds``, or until ``stop`` says so; publish by ``plan`` meanwhile."""
        end = clock() + int(seconds * 1e9)
        poll, by_fd, others, receive = self._epoll.poll, self._by_fd, self._others, self._receive
        while (now := clock()) < end and not (stop is not None and stop()):
            wait = self._chores(now, end, plan)
            for fd, event in poll(wait, 1024):
                viewer = by_fd.get(fd)
                if viewer is None:
                    if fd in others:
                        others[fd](event)
                elif event == select.EPOLLIN and viewer.phase is not Phase.CONNECTING:
                    receive(viewer)
                else:
                    self._unusual(viewer, event)

    def _chores(self, now: int, end: int, plan: Plan | None) -> float:
        """Do what is due, and return the seconds until something is due again."""
        if plan is not None:
            while plan.due <= now and plan.number < plan.end:
                self._publish_next(plan, now)
            if plan.number < plan.end:
                end = min(end, plan.due)
        while self._retries and self._retries[0][0] <= now:
            self._connect(self._retries.popleft()[1])
        if self._retries:
            end = min(end, self._retries[0][0])
        if self._beat and now >= self._beat_due:
            self._beat_due = now + self._beat_ns
            self._beat_turn = (self._beat_turn + 1) % BEATS
            for viewer in self.viewers[self._beat_turn :: BEATS]:
                if viewer.phase is Phase.JOINED:
                    self.write(viewer, self._beat)
        return min(max(end - now, 0) / 1e9, 0.05)

    def _publish_next(self, plan: Plan, now: int) -> None:
        late = now - plan.due
        plan.due += int(1e9 / plan.rate)
        self.publish_now(plan)
        if self.record.since <= now < self.record.until:
            self.record.lateness.append(late)

    def publish_now(self, plan: Plan) -> None:
        """Publish the next message of ``plan`` at once."""
        room, number = plan.number % plan.rooms, plan.number
        plan.number += 1
        at = clock()
        if self.record.since <= at < self.record.until:
            self.record.sent += 1
        self.publish(room, number, payload.make(number, at, plan.size))

    def _say(self, room: int, number: int, text: str) -> None:
        """The first viewer of a room speaks in it, as a person would."""
        if room not in self._speakers:
            self._speakers |= {viewer.room: viewer for viewer in reversed(self.viewers)}
        frame = wire.client_frame(self.dialect.publish(room, number, text).encode())
        self.write(self._speakers[room], frame)

    def write(self, viewer: Viewer, data: bytes) -> None:
        """Send ``data``; what the socket does not take waits."""
        if viewer.out:
            viewer.out += data
            return
        try:
            sent = viewer.sock.send(data)
        except BlockingIOError:
            sent = 0
        except OSError:
            self._lost(viewer, "broken")
            return
        if sent < len(data):
            viewer.out = data[sent:]
            self._epoll.modify(viewer.fd, select.EPOLLIN | select.EPOLLOUT)

    def _unusual(self, viewer: Viewer, event: int) -> None:
        if viewer.phase is Phase.CONNECTING:
            code = viewer.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if code:
                self._retry(viewer, errno.errorcode[code])
                return
            viewer.phase = Phase.UPGRADING
            self._epoll.modify(viewer.fd, select.EPOLLIN)
            offered = self.dialect.subprotocols(viewer.seat, viewer.room)
            path = self.dialect.path(viewer.room)
            self.write(viewer, wire.request(path, port=self.port, subprotocols=offered))
            return
        if event & select.EPOLLOUT and viewer.out:
            waiting, viewer.out = viewer.out, b""
            self._epoll.modify(viewer.fd, select.EPOLLIN)
            self.write(viewer, waiting)
        if event & select.EPOLLIN:
            self._receive(viewer)
        elif event & (select.EPOLLHUP | select.EPOLLERR | select.EPOLLRDHUP):
            self._lost(viewer, "closed")

    # --- receiving ----------------------------------------------------------------------------------------------

    def _receive(self, viewer: Viewer) -> None:
        buffer = self._buffer
        try:
            end = viewer.recv_into(buffer)
        except BlockingIOError:
            return
        except OSError:
            end = 0
        if end == 0:
            self._lost(viewer, "closed")
            return
        if viewer.carry or viewer.phase is Phase.UPGRADING:
            buffer = bytearray(viewer.carry) + buffer[:end]
            end, viewer.carry = len(buffer), b""
            if viewer.phase is Phase.UPGRADING:
                at = self._upgraded(viewer, buffer)
                if at == 0:
                    return
                rest = self._read_frames(viewer, buffer, at, end, clock())
                viewer.carry = bytes(buffer[rest:end])
                return
        rest = self._read_frames(viewer, buffer, 0, end, clock())
        if rest < end:
            viewer.carry = bytes(buffer[rest:end])

    def _read_frames(self, viewer: Viewer, buffer: bytearray, at: int, end: int, now: int) -> int:
        """Handle the whole frames of ``buffer``; return where the first incomplete one begins."""
        while end - at >= 2:
            start, size = at + 2, buffer[at + 1]
            if size >= 126:
                wide = 2 if size == 126 else 8
                start += wide
                if start > end:
                    break
                size = int.from_bytes(buffer[at + 2 : start], "big")
            stop = start + size
            if stop > end:
                break
            first, at = buffer[at], stop
            if first != 0x81 or viewer.phase is not Phase.JOINED:
                self._other_frame(viewer, first, bytes(buffer[start:stop]))
                continue
            self.frames += 1
            mark = buffer.find(payload.MARK, start, stop)
            if mark < 0:
                self._text(viewer, bytes(buffer[start:stop]))
            else:
                self._stamps(viewer, buffer, mark, stop, now)
        return at

    def _stamps(self, viewer: Viewer, buffer: bytearray, mark: int, stop: int, now: int) -> None:
        record, before = self.record, bytearray()
        while mark >= 0:
            end = mark + payload.STAMP
            stamp = buffer[mark:end]
            if stamp != before:  # a chat message brings its text twice: plain and as HTML
                before = stamp
                self.deliveries += 1
                number = stamp[22:]  # digits of one length, so they compare as they are
                if number <= viewer.last:
                    self.disorder += 1
                else:
                    viewer.last = number
                sent = int(stamp[3:22])
                if record.since <= sent < record.until:
                    record.latencies.append(now - sent)
                    viewer.received += 1
            mark = buffer.find(payload.MARK, end, stop)

    def _other_frame(self, viewer: Viewer, first: int, content: bytes) -> None:
        opcode = first & 0x0F
        if first == 0x81:
            self._text(viewer, content)
        elif opcode == wire.PING:
            self.write(viewer, wire.client_frame(content, wire.PONG))
        elif opcode == wire.CLOSE:
            viewer.close_code = int.from_bytes(content[:2], "big")
            self.write(viewer, wire.client_frame(content[:2], wire.CLOSE))
        elif opcode != wire.PONG:
            raise RuntimeError(f"unexpected frame {first:#x}")

    def _text(self, viewer: Viewer, text: bytes) -> None:
        answer = self.dialect.answer(viewer.room, text)
        self._send_texts(viewer, answer.texts)
        if answer.refused:
            self.failures.append(answer.refused)
        if answer.joined:
            self._joined(viewer)

    def _upgraded(self, viewer: Viewer, head: bytearray) -> int:
        """Take the answer to the upgrade; return where frames begin, or 0 when there is more to wait for."""
        end = head.find(b"\r\n\r\n")
        if end < 0:
            viewer.carry = bytes(head)
            return 0
        if not wire.accepted(bytes(head[:end])):
            self._retry(viewer, bytes(head[:60]).decode(errors="replace").split("\r")[0])
            return 0
        viewer.phase = Phase.JOINING
        greeting = self.dialect.greeting(viewer.seat, viewer.room)
        if greeting is None:
            self._joined(viewer)
        else:
            self._send_texts(viewer, greeting)
        return end + 4

    def _joined(self, viewer: Viewer) -> None:
        if viewer.phase is not Phase.JOINED:
            viewer.phase = Phase.JOINED
            viewer.joined_at = clock()
            self.joined += 1
            self._opening -= 1
            self._fill()

    def _send_texts(self, viewer: Viewer, texts: Sequence[str]) -> None:
        for text in texts:
            self.write(viewer, wire.client_frame(text.encode()))
