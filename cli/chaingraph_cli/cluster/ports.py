"""Assigns TCP ports on loopback, the same ones after a restart if possible."""

from __future__ import annotations

import socket
from collections.abc import Iterable, Mapping

LOOPBACK = "127.0.0.1"


def is_free(port: int) -> bool:
    """Whether a server could listen on this loopback port (with SO_REUSEADDR, as servers set it)."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
            probe.listen(1)
        except OSError:
            return False
        return True


def assign(names: Iterable[str], remembered: Mapping[str, int]) -> dict[str, int]:
    """Assign a port to each name: the remembered one if it is free, else one that the kernel picks.

    All sockets of a call stay open until every name has its port, so that no two names get the same.

    Raises:
        OSError: no loopback port can be bound.
    """
    assigned: dict[str, int] = {}
    missing: list[str] = []
    for name in names:
        port = remembered.get(name)
        if port is not None and port not in assigned.values() and is_free(port):
            assigned[name] = port
        else:
            missing.append(name)
    held: list[socket.socket] = []
    try:
        while missing:
            picked = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
            held.append(picked)
            picked.bind((LOOPBACK, 0))
            port = picked.getsockname()[1]
            if port not in assigned.values():
                assigned[missing.pop()] = port
    finally:
        for each in held:
            each.close()
    return assigned
