"""Ports: free ones, distinct ones, and the same ones again."""

from __future__ import annotations

import socket

from chaingraph_cli.cluster import ports

NAMES = [f"process-{number}" for number in range(20)]


def test_every_name_gets_a_port_of_its_own_that_is_free() -> None:
    assigned = ports.assign(NAMES, {})
    assert set(assigned) == set(NAMES)
    assert len(set(assigned.values())) == len(NAMES)
    assert all(ports.is_free(port) for port in assigned.values())


def test_remembered_ports_are_reused() -> None:
    before = ports.assign(NAMES, {})
    assert ports.assign(NAMES, before) == before


def test_occupied_remembered_port_is_replaced_alone() -> None:
    before = ports.assign(["a", "b"], {})
    with socket.socket() as other:
        other.bind((ports.LOOPBACK, before["a"]))
        other.listen()
        assert not ports.is_free(before["a"])
        after = ports.assign(["a", "b"], before)
    assert after["b"] == before["b"]
    assert after["a"] not in before.values()


def test_two_names_never_share_a_remembered_port() -> None:
    port = ports.assign(["a"], {})["a"]
    after = ports.assign(["a", "b"], {"a": port, "b": port})
    assert after["a"] == port
    assert after["b"] != port
