"""Where HTTP nodes may connect to: the resolved address of every hop decides, and no other is connected to."""

from __future__ import annotations

import asyncio
import socket
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chaingraph_flow import Egress, EngineOptions, FailureReason
from chaingraph_flow.egress import CLOSED
from fixtures.flows.http_server import answer, raw_server
from fixtures.flows.runs import LOOPBACK, error_of, outputs_of

NOTHING = EngineOptions()


@pytest.mark.parametrize(
    ("address", "kind"),
    [
        ("127.0.0.1", "loopback"),
        ("127.255.255.254", "loopback"),
        ("::1", "loopback"),
        ("0.0.0.0", "unspecified"),
        ("0.1.2.3", "unspecified"),
        ("::", "unspecified"),
        ("10.96.0.1", "private"),
        ("172.31.255.255", "private"),
        ("192.168.1.1", "private"),
        ("fd12::1", "private"),
        ("fec0::1", "private"),
        ("169.254.1.1", "link-local"),
        ("fe80::1", "link-local"),
        ("fe80::1%eth0", "link-local"),
        ("169.254.169.254", "cloud metadata"),
        ("fd00:ec2::254", "cloud metadata"),
        ("168.63.129.16", "cloud metadata"),
        ("100.100.100.200", "cloud metadata"),
        ("100.64.0.1", "shared (carrier-grade NAT)"),
        ("224.0.0.1", "multicast"),
        ("ff02::1", "multicast"),
        ("255.255.255.255", "reserved"),
        ("192.0.2.1", "reserved"),
        ("2001:db8::1", "reserved"),
        ("4000::1", "reserved"),
        ("::ffff:127.0.0.1", "IPv4-mapped, loopback"),
        ("::ffff:8.8.8.8", "IPv4-mapped"),
        ("64:ff9b::7f00:1", "IPv4-translated, loopback"),
        ("64:ff9b::808:808", "IPv4-translated"),
        ("2002:7f00:1::", "IPv4-translated, loopback"),
        ("2002:a00:1::", "IPv4-translated, private"),
        ("2001:0:1::", "IPv4-translated"),
        ("::127.0.0.1", "IPv4-translated"),
        ("nonsense", "unknown"),
    ],
)
def test_closed_addresses_by_class(address: str, kind: str) -> None:
    assert Egress().refusal(address) == kind


@pytest.mark.parametrize("address", ["8.8.8.8", "1.1.1.1", "2606:4700:4700::1111", "93.184.216.34", "172.32.0.1"])
def test_public_addresses_are_open(address: str) -> None:
    assert Egress().refusal(address) is None


def test_allowed_networks_open_and_denied_ones_close() -> None:
    egress = Egress.of("10.0.0.0/8, 169.254.0.0/16, 8.8.8.0/24", "10.96.0.1, 8.8.8.8/32")
    assert egress.refusal("10.1.2.3") is None
    assert egress.refusal("10.96.0.1") == "denied by the administrator"
    assert egress.refusal("8.8.8.8") == "denied by the administrator"
    assert egress.refusal("169.254.7.7") is None
    assert egress.refusal("169.254.169.254") == "cloud metadata", "a wide network does not open it"
    assert Egress.of("169.254.169.254").refusal("169.254.169.254") is None
    assert Egress.of("64:ff9b::/96").refusal("64:ff9b::808:808") is None
    assert Egress.of("64:ff9b::/96").refusal("64:ff9b::a60:1") == "IPv4-translated, private"


@pytest.mark.parametrize("text", ["10.0.0.0/33", "10.0.0.1/8", "localhost", "10.0.0.0/8;::1", "*"])
def test_malformed_network_is_named(text: str) -> None:
    with pytest.raises(ValueError, match="is not a network"):
        Egress.of(text)


@given(st.sampled_from([network for _, network in CLOSED]), st.integers(0, 2**128))
def test_every_address_of_a_closed_network_is_refused(network: Any, offset: int) -> None:
    assert Egress().refusal(str(network[offset % network.num_addresses])) is not None


@given(st.integers(0, 2**32 - 1))
def test_embedded_address_is_no_more_open_than_itself(number: int) -> None:
    for form in (0xFFFF << 32 | number, 0x64FF9B << 96 | number, 0x2002 << 112 | number << 80, number):
        assert Egress().refusal(str(IPv6Address(form))) is not None
    inner = Egress.of("::/0").refusal(str(IPv4Address(number)))
    assert (Egress.of("::/0").refusal(str(IPv6Address(0x64FF9B << 96 | number))) is None) == (inner is None)


@given(st.integers(0, 2**32 - 1), st.integers(8, 32))
def test_deny_goes_before_allow(number: int, prefix: int) -> None:
    network = ip_network((number, prefix), strict=False)
    egress = Egress(allow=(ip_network("0.0.0.0/0"),), deny=(network,))
    assert egress.refusal(str(ip_address(number))) == "denied by the administrator"


@pytest.mark.parametrize(
    "host",
    [
        *("127.0.0.1", "localhost", "127.1", "0x7f.1", "2130706433", "017700000001", "0x7f000001", "0", "0.0.0.0"),
        *("[::1]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[::]", "127.0.0.1.", "LOCALHOST", "①②⑦.0.0.1"),
    ],
)
async def test_loopback_is_refused_in_every_notation(host: str) -> None:
    with raw_server("127.0.0.1") as server:
        port = server.url.rpartition(":")[2]
        error = await error_of("HTTP", baseUri=f"http://{host}:{port}", path="secret-token", options=NOTHING)
        assert not server.requests
    if error.reason != FailureReason.EGRESS_DENIED:
        assert "cannot resolve" in error.message or "not a URL" in error.message, error
        return
    assert "CHAINGRAPH_EGRESS_ALLOW" in error.message
    assert "secret-token" not in error.message


async def test_denied_connection_is_not_retried_and_names_host_and_class() -> None:
    error = await error_of("HTTP", baseUri="http://169.254.169.254/latest/meta-data", options=NOTHING)
    assert error.reason == FailureReason.EGRESS_DENIED
    assert error.message.startswith("connection to 169.254.169.254 denied: its address is cloud metadata")


async def test_redirect_to_a_closed_address_is_refused() -> None:
    with raw_server("127.0.0.1") as server, raw_server("127.0.0.2") as inside:
        server.answers["/a"] = answer(b"", f"Location: {inside.url}/", status="302 Found")
        options = EngineOptions(egress=Egress.of("127.0.0.1"))
        error = await error_of("HTTP", baseUri=f"{server.url}/a", options=options)
        assert error.reason == FailureReason.EGRESS_DENIED
        assert (len(server.requests), len(inside.requests)) == (1, 0)


async def test_name_that_changes_its_address_is_resolved_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    async def rebinding(self: Any, host: str, port: int, **more: Any) -> list[Any]:
        asked.append(host)
        address = "127.0.0.1" if len(asked) == 1 else "127.0.0.2"
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))]

    with raw_server("127.0.0.1") as server:
        port = server.url.rpartition(":")[2]
        monkeypatch.setattr(type(asyncio.get_running_loop()), "getaddrinfo", rebinding)
        options = EngineOptions(egress=Egress.of("127.0.0.1"))
        await outputs_of("HTTP", baseUri=f"http://rebinding.example:{port}", options=options)
        assert (asked, len(server.requests)) == (["rebinding.example"], 1)
        assert server.requests[0].headers["host"] == f"rebinding.example:{port}"


async def test_only_admitted_addresses_of_a_name_are_connected_to(monkeypatch: pytest.MonkeyPatch) -> None:
    async def several(self: Any, host: str, port: int, **more: Any) -> list[Any]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (each, port)) for each in ("10.0.0.1", "127.0.0.1")]

    with raw_server("127.0.0.1") as server:
        port = server.url.rpartition(":")[2]
        monkeypatch.setattr(type(asyncio.get_running_loop()), "getaddrinfo", several)
        await outputs_of("HTTP", baseUri=f"http://mixed.example:{port}", options=EngineOptions(egress=LOOPBACK))
        assert len(server.requests) == 1
        error = await error_of("HTTP", baseUri=f"http://mixed.example:{port}", options=NOTHING)
        assert error.reason == FailureReason.EGRESS_DENIED
