"""The client address of a request. Pure.

`X-Forwarded-For` is only trusted from the administrator's proxies: anybody else can forge it.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from typing import Final

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

UNKNOWN: Final = "unknown"
_IPV6_PREFIX: Final = 64
"""An IPv6 client usually has a whole network of 2^64 addresses."""


def networks(text: str) -> tuple[Network, ...]:
    """Parse networks or addresses, separated by commas.

    Raises:
        ValueError: one of them is neither.
    """
    return tuple(ipaddress.ip_network(each.strip(), strict=False) for each in text.split(",") if each.strip())


def address_of(peer: object, forwarded: Sequence[str] = (), trusted: Sequence[Network] = ()) -> str:
    """Return the address that limits apply to: an IPv4 address, or an IPv6 network.

    Args:
        peer: the socket's other end.
        forwarded: the values of the headers `X-Forwarded-For`, in order.
        trusted: proxies; the last address that is none of them is the client's.
    """
    found = _parsed(peer[0]) if isinstance(peer, tuple) and peer else None
    if found is None:
        return UNKNOWN
    hops = [hop.strip() for value in forwarded for hop in value.split(",")]
    while hops and _among(found, trusted):
        before = _parsed(hops.pop())
        if before is None:
            break
        found = before
    return _key(found)


def is_proxy(peer: object, trusted: Sequence[Network]) -> bool:
    """Whether the other end of a connection is a trusted proxy, which connects for many clients."""
    found = _parsed(peer[0]) if trusted and isinstance(peer, tuple) and peer else None
    return found is not None and _among(found, trusted)


def _parsed(text: object) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        found = ipaddress.ip_address(str(text).partition("%")[0])
    except ValueError:
        return None
    mapped = found.ipv4_mapped if isinstance(found, ipaddress.IPv6Address) else None
    return mapped or found


def _among(address: ipaddress.IPv4Address | ipaddress.IPv6Address, trusted: Sequence[Network]) -> bool:
    return any(address in network for network in trusted)


def _key(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> str:
    if isinstance(address, ipaddress.IPv4Address):
        return str(address)
    return str(ipaddress.ip_network((address, _IPV6_PREFIX), strict=False))
