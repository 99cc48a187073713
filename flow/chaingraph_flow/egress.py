"""Decide which network addresses flows may reach: public ones, and those that the administrator allows.

The resolved address decides, so `http://2130706433`, `http://0x7f.1`, `http://localhost` and a public name for an
internal address are all covered. The HTTP client checks each address, connects to exactly that address, and checks
again after a redirect.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Self

from chaingraph_flow.errors import EgressDenied

Network = IPv4Network | IPv6Network
Address = IPv4Address | IPv6Address

ALLOW = "CHAINGRAPH_EGRESS_ALLOW"
DENY = "CHAINGRAPH_EGRESS_DENY"

METADATA = frozenset(
    map(
        ip_address,
        (
            *("169.254.169.254", "169.254.170.2", "169.254.170.23", "169.254.0.23", "100.100.100.200"),
            *("168.63.129.16", "192.0.0.192", "fd00:ec2::254", "fd00:ec2::23", "fd20:ce::254"),
        ),
    )
)
"""Where clouds hand out credentials. A wide network in the allow list does not open them; the address itself does."""

_CLOSED: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("unspecified", ("0.0.0.0/8", "::/128")),
    ("loopback", ("127.0.0.0/8", "::1/128")),
    ("link-local", ("169.254.0.0/16", "fe80::/10")),
    ("private", ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7", "fec0::/10")),
    ("shared (carrier-grade NAT)", ("100.64.0.0/10",)),
    ("multicast", ("224.0.0.0/4", "ff00::/8")),
    ("IPv4-mapped", ("::ffff:0:0/96",)),
    ("IPv4-translated", ("64:ff9b::/96", "64:ff9b:1::/48", "::ffff:0:0:0/96", "::/96", "2002::/16", "2001::/32")),
    (
        "reserved",
        (
            *("192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24"),
            *("240.0.0.0/4", "2001::/23", "2001:db8::/32", "3fff::/20"),
        ),
    ),
)
"""Not `ipaddress.is_global`, which depends on the patch level of Python."""
CLOSED: tuple[tuple[str, Network], ...] = tuple((name, ip_network(text)) for name, texts in _CLOSED for text in texts)
_GLOBAL_UNICAST = IPv6Network("2000::/3")


@dataclass(frozen=True, slots=True)
class Egress:
    """The policy of an execution. `deny` overrides `allow`, and `allow` overrides the networks closed by default."""

    allow: tuple[Network, ...] = ()
    deny: tuple[Network, ...] = ()

    @classmethod
    def of(cls, allow: str = "", deny: str = "") -> Self:
        """Parse the policy from two lists of networks, separated by commas. Raises ValueError, naming the entry."""
        return cls(parse_networks(allow), parse_networks(deny))

    def refusal(self, address: str) -> str | None:
        """Return the class of an address that may not be reached, or None."""
        try:
            found = ip_address(address.partition("%")[0])
        except ValueError:
            return "unknown"
        if _within(found, self.deny):
            return "denied by the administrator"
        embedded = _translated(found)
        if embedded is not None and (inner := self.refusal(str(embedded))) is not None:
            return f"{closed_class(found) or 'IPv4-translated'}, {inner}"
        if found in METADATA:
            exact = any(each.num_addresses == 1 and found in each for each in self.allow)
            return None if exact else "cloud metadata"
        return None if _within(found, self.allow) else closed_class(found)

    def admitted(self, host: str, addresses: Iterable[str]) -> list[str]:
        """Return the reachable ones of a host's addresses, in order. Raises EgressDenied when there are none."""
        admitted: list[str] = []
        refused: list[str] = []
        for address in addresses:
            refusal = self.refusal(address)
            if refusal is None:
                admitted.append(address)
            else:
                refused.append(refusal)
        if not admitted and refused:
            raise denied(host, refused[0])
        return admitted


def denied(host: str, kind: str) -> EgressDenied:
    """Create the error for a connection to a closed address. It has no path and no query: these may contain tokens."""
    remedy = f"remove the network from {DENY}" if kind.startswith("denied") else f"allow the network in {ALLOW}"
    return EgressDenied(
        f"connection to {host} denied: its address is {kind}. The administrator of the installation can {remedy}"
    )


def parse_networks(text: str) -> tuple[Network, ...]:
    """Parse a list of networks such as `10.0.0.0/8, fd00::/8, 192.0.2.7`. Raises ValueError, naming the entry."""
    networks: list[Network] = []
    for entry in filter(None, (each.strip() for each in text.split(","))):
        try:
            networks.append(ip_network(entry))
        except ValueError:
            raise ValueError(f"{entry!r} is not a network. Write it as 10.0.0.0/8, fd00::/8 or 192.0.2.7") from None
    return tuple(networks)


@lru_cache(maxsize=1024)
def closed_class(address: Address) -> str | None:
    """Return the class of an address that is closed unless allowed; None for a public one."""
    for name, network in CLOSED:
        if address in network:
            return name
    if isinstance(address, IPv6Address) and address not in _GLOBAL_UNICAST:
        return "reserved"
    return None


def _within(address: Address, networks: Iterable[Network]) -> bool:
    return any(address in network for network in networks)


def _translated(address: Address) -> IPv4Address | None:
    """Return the IPv4 address that a connection to this IPv6 address reaches, if the address contains it."""
    if isinstance(address, IPv4Address):
        return None
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address.sixtofour is not None:
        return address.sixtofour
    if address in _NAT64:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return None


_NAT64 = IPv6Network("64:ff9b::/96")
