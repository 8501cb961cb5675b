"""WebSocket on the wire (RFC 6455), as much as a load generator needs. Pure: bytes in, bytes out.

Client frames carry a mask of four zero bytes: the masked payload is then the payload, so a frame is made once and sent
many times. Servers cannot tell it from a random mask, and unmask it at the same cost.
"""

from __future__ import annotations

import base64
import hashlib
import os
from collections.abc import Sequence

TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455, section 1.3


def header(opcode: int, size: int, *, masked: bool) -> bytes:
    """Return the header of a final frame with ``size`` bytes of payload, with the zero mask if ``masked``."""
    bit = 0x80 if masked else 0
    if size < 126:
        head = bytes((0x80 | opcode, bit | size))
    elif size < 1 << 16:
        head = bytes((0x80 | opcode, bit | 126)) + size.to_bytes(2, "big")
    else:
        head = bytes((0x80 | opcode, bit | 127)) + size.to_bytes(8, "big")
    return head + bytes(4) if masked else head


def client_frame(payload: bytes, opcode: int = TEXT) -> bytes:
    """Return a frame as a client sends it."""
    return header(opcode, len(payload), masked=True) + payload


def server_frame(payload: bytes, opcode: int = TEXT) -> bytes:
    """Return a frame as a server sends it."""
    return header(opcode, len(payload), masked=False) + payload


def request(path: str, *, port: int, subprotocols: Sequence[str] = ()) -> bytes:
    """Return the HTTP request that opens a WebSocket at ``path`` on the loopback ``port``."""
    lines = [
        f"GET {path} HTTP/1.1",
        f"Host: 127.0.0.1:{port}",
        f"Origin: http://127.0.0.1:{port}",
        "Upgrade: websocket",
        "Connection: Upgrade",
        f"Sec-WebSocket-Key: {base64.b64encode(os.urandom(16)).decode()}",
        "Sec-WebSocket-Version: 13",
    ]
    if subprotocols:
        lines.append(f"Sec-WebSocket-Protocol: {', '.join(subprotocols)}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def response(head: bytes, *, subprotocol: str) -> bytes:
    """Return the answer that accepts the upgrade in ``head``. Raises ``ValueError`` for no WebSocket request."""
    fields = dict(_fields(head))
    key = fields.get(b"sec-websocket-key")
    if key is None:
        raise ValueError("not a WebSocket request")
    accept = base64.b64encode(hashlib.sha1(key + _GUID, usedforsecurity=False).digest()).decode()
    lines = ["HTTP/1.1 101 Switching Protocols", "Upgrade: websocket", "Connection: Upgrade"]
    lines.append(f"Sec-WebSocket-Accept: {accept}")
    if subprotocol in fields.get(b"sec-websocket-protocol", b"").decode():
        lines.append(f"Sec-WebSocket-Protocol: {subprotocol}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def accepted(head: bytes) -> bool:
    """Tell whether the answer ``head`` opens the WebSocket."""
    return head[9:12] == b"101"


def frames(data: bytes | bytearray) -> tuple[list[tuple[int, bytes]], int]:
    """Return the whole frames in ``data`` as (opcode, unmasked payload), and how many bytes they took.

    For the slow side only (the agents-server's link); viewers are read in ``engine``. Raises ``ValueError`` for a
    fragmented message, which none of our partners sends.
    """
    found: list[tuple[int, bytes]] = []
    at = 0
    while len(data) - at >= 2:
        first, size = data[at], data[at + 1] & 0x7F
        start = at + 2
        if size >= 126:
            wide = 2 if size == 126 else 8
            size = int.from_bytes(data[start : start + wide], "big")
            start += wide
        mask = b""
        if data[at + 1] & 0x80:
            mask = bytes(data[start : start + 4])
            start += 4
        if start + size > len(data):
            break
        if not first & 0x80:
            raise ValueError("fragmented message")
        found.append((first & 0x0F, unmask(bytes(data[start : start + size]), mask)))
        at = start + size
    return found, at


def unmask(payload: bytes, mask: bytes) -> bytes:
    """Return ``payload`` with the four-byte ``mask`` undone; an empty mask changes nothing."""
    if not mask or mask == bytes(4):
        return payload
    size = len(payload)
    repeated = (mask * (size // 4 + 1))[:size]
    return (int.from_bytes(payload, "big") ^ int.from_bytes(repeated, "big")).to_bytes(size, "big")


def _fields(head: bytes) -> list[tuple[bytes, bytes]]:
    lines = head.split(b"\r\n\r\n", 1)[0].split(b"\r\n")[1:]
    pairs = (line.split(b":", 1) for line in lines if b":" in line)
    return [(name.strip().lower(), value.strip()) for name, value in pairs]
