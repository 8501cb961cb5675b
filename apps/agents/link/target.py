"""Where the link may lead: neither an operator's mistake nor whoever changes a name's address leads it elsewhere.

The token travels with the first request. So the address is looked at before anything is sent, and the socket goes to
the very address that was looked at: a name that is asked twice can answer twice.
"""

from __future__ import annotations

import asyncio
import ipaddress
import re
import socket
from typing import Final
from urllib.parse import urlsplit

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

METADATA: Final = frozenset(
    map(ipaddress.ip_address, ("169.254.169.254", "100.100.100.200", "192.0.0.192", "168.63.129.16", "fd00:ec2::254"))
)
"""Where clouds hand their machines' credentials to whoever asks from inside."""
PORTS: Final = {"ws": 80, "wss": 443}
_HOST: Final = re.compile(r"[A-Za-z0-9._:%-]+")


class TargetError(OSError):
    """The link does not go there; the message says why and names no secret."""


def parsed(url: str) -> tuple[str, str, int]:
    """Return scheme, host and port of the agents-server's ``url``. Raises ``TargetError``."""
    if any(character.isspace() or not character.isprintable() or character == "\\" for character in url):
        raise TargetError("its address holds a character that no address has")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise TargetError("its address cannot be read") from None
    if parts.scheme not in PORTS:
        raise TargetError("its address begins with neither ws:// nor wss://")
    if "@" in parts.netloc or parts.fragment:
        raise TargetError("a user or a fragment has no place in its address")
    host = parts.hostname or ""
    if not _HOST.fullmatch(host) or port == 0:
        raise TargetError("its address names no host")
    return parts.scheme, host, port or PORTS[parts.scheme]


def allowed(address: Address, *, encrypted: bool) -> bool:
    """Tell whether the link may go to ``address``; without encryption it stays on this machine or a private network."""
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour or (address.teredo or (None, None))[1]
        if inner is not None:
            return allowed(inner, encrypted=encrypted)
    if address in METADATA or address.is_link_local or address.is_multicast or address.is_unspecified:
        return False
    if address.is_loopback:
        return True
    if address.is_reserved:
        return False
    return encrypted or address.is_private


async def addresses_of(url: str) -> tuple[list[str], int]:
    """Return the addresses behind ``url``, each allowed, and the port.

    Raises ``TargetError`` when one of them is not: whoever controls the name chooses which is used. Raises
    ``OSError`` when the name has none.
    """
    scheme, host, port = parsed(url)
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    texts = list(dict.fromkeys(str(row[4][0]) for row in found))
    for text in texts:
        if not allowed(ipaddress.ip_address(text.partition("%")[0]), encrypted=scheme == "wss"):
            raise TargetError(f"{text} is no place for an agents-server" + ("" if scheme == "wss" else " without TLS"))
    return texts, port
