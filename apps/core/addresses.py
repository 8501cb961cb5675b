"""Network addresses as limits count them. Pure."""

from __future__ import annotations

import functools
import ipaddress


@functools.lru_cache(maxsize=10_000)
def network_of(address: str) -> str:
    """Return what one household or server counts as: an IPv4 address itself, of an IPv6 address its /64.

    Whoever has one IPv6 address has 2**64 of them. An IPv4 address in IPv6 clothes is the IPv4 address; what is no
    address at all (the path of a UNIX socket, nothing) stays as it is.
    """
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv4Address):
        return str(parsed)
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(ipaddress.ip_network((parsed, 64), strict=False))


def is_address(host: str) -> bool:
    """Tell whether a ``Host`` header, with or without a port, is an address or ``localhost``, and so no site's name."""
    name = host[1:].partition("]")[0] if host.startswith("[") else host.partition(":")[0]
    if name == "localhost":
        return True
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
