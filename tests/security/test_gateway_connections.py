"""Connections that dawdle or are too many are ended, and others are served meanwhile."""

from __future__ import annotations

import asyncio
import json
import ssl
from typing import Any

import pytest

from chaingraph_gateway.access.addresses import UNKNOWN, address_of, networks
from chaingraph_gateway.connections.connections import ConnectionTimeouts
from chaingraph_gateway.connections.limits import ConnectionCounts, RequestLimits
from fixtures.processes.served_gateway import ServedGateway, ServeGateway
from fixtures.waiting import eventually

CUT_OFF = (ConnectionError, ssl.SSLError)
IMPATIENT = ConnectionTimeouts(head_seconds=0.2, idle_seconds=0.2, head_bytes=4096)


def said(answer: bytes) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(answer.partition(b"\r\n\r\n")[2])
    return found


async def test_idle_connection_without_head_is_closed(serve_gateway: ServeGateway) -> None:
    gateway = await serve_gateway(patience=IMPATIENT)
    reader, _ = await gateway.connect()
    assert await reader.read() == b""


async def test_connection_without_handshake_is_closed(serve_gateway: ServeGateway) -> None:
    gateway = await serve_gateway(patience=IMPATIENT)
    reader, _ = await gateway.connect(tls=False)
    assert await reader.read() == b""


@pytest.mark.parametrize("head", [b"GET /executions HTTP/1.1\r\nHost: a\r\nX-Slow: ", b"GET /"])
async def test_dribbled_head_times_out(serve_gateway: ServeGateway, head: bytes) -> None:
    gateway = await serve_gateway(patience=ConnectionTimeouts(head_seconds=0.2, idle_seconds=30, head_bytes=4096))
    reader, writer = await gateway.connect()
    answer = asyncio.create_task(reader.read())
    writer.write(head)
    # Whoever dribbles on gets no more time than whoever is silent.
    while not answer.done():
        writer.write(b"x")
        await asyncio.sleep(0.01)
    found = await answer
    assert found.startswith(b"HTTP/1.1 408 ")
    assert "CHAINGRAPH_HEAD_SECONDS" in said(found)["message"]


async def test_kept_connection_is_closed_when_idle(serve_gateway: ServeGateway) -> None:
    gateway = await serve_gateway(patience=IMPATIENT)
    reader, writer = await gateway.connect()
    writer.write(b"GET /nowhere HTTP/1.1\r\nHost: a\r\n\r\n")
    assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 404 ")
    # The body, and then nothing: it is closed and not waited for.
    assert b"unknown path" in await reader.read()


async def test_dribbled_second_head_times_out(serve_gateway: ServeGateway) -> None:
    gateway = await serve_gateway(patience=ConnectionTimeouts(head_seconds=0.2, idle_seconds=30, head_bytes=4096))
    reader, writer = await gateway.connect()
    writer.write(b"GET /nowhere HTTP/1.1\r\nHost: a\r\n\r\n")
    await reader.readuntil(b"}\n")
    writer.write(b"GET /now")
    assert (await reader.read()).startswith(b"HTTP/1.1 408 ")


async def test_heads_are_limited_in_total(serve_gateway: ServeGateway) -> None:
    gateway = await serve_gateway(patience=ConnectionTimeouts(head_seconds=30, head_bytes=4096))
    reader, writer = await gateway.connect()
    writer.write(b"GET / HTTP/1.1\r\n" + b"".join(b"X-%d: %s\r\n" % (number, b"y" * 80) for number in range(60)))
    found = await reader.read()
    assert found.startswith(b"HTTP/1.1 431 ")
    assert "CHAINGRAPH_MAX_HEAD_BYTES" in said(found)["message"]


@pytest.mark.parametrize("body", [b"Content-Length: 10\r\n\r\n1", b"Transfer-Encoding: chunked\r\n\r\n5\r\n1"])
async def test_request_with_body_is_refused_unread(serve_gateway: ServeGateway, body: bytes) -> None:
    gateway = await serve_gateway()
    reader, writer = await gateway.connect()
    writer.write(b"GET /executions HTTP/1.1\r\nHost: a\r\n" + body)
    # Without an end of its own, the answer ends with the connection.
    assert (await reader.read()).startswith(b"HTTP/1.1 413 ")


async def test_address_over_its_limit_is_told_then_cut_off(serve_gateway: ServeGateway) -> None:
    gateway = await serve_gateway(limits=RequestLimits(max_connections_per_address=4))
    kept = [await gateway.connect() for _ in range(4)]
    status, answer = await gateway.ask("/executions", "Authorization: Bearer user-a")
    assert status == 429
    assert b"Retry-After: 5" in answer
    assert said(answer)["setting"] == "CHAINGRAPH_MAX_CONNECTIONS_PER_ADDRESS"
    await _open(gateway, 4)
    # A quarter more are told; what goes beyond is closed before TLS.
    kept.append(await gateway.connect())
    with pytest.raises(CUT_OFF):
        await gateway.connect()
    metric = 'chaingraph_gateway_refused_total{setting="CHAINGRAPH_MAX_CONNECTIONS_PER_ADDRESS"}'
    assert gateway.metrics.registry.get_sample_value(metric.partition("{")[0], {"setting": metric.split('"')[1]}) == 2
    for _, writer in kept:
        writer.close()
    await _open(gateway, 0)
    # Whoever has closed them is served again; nobody is asked whose token it is before that.
    assert gateway.reviews.asked == []
    assert (await gateway.ask("/executions", "Authorization: Bearer user-a"))[0] == 503


async def _open(gateway: ServedGateway, number: int) -> None:
    async def is_so() -> bool:
        return gateway.connections.total == number

    await eventually(is_so, what=f"{number} connections")


async def test_connections_in_handshake_count(serve_gateway: ServeGateway) -> None:
    gateway = await serve_gateway(limits=RequestLimits(max_connections=3))
    kept = [await gateway.connect(tls=False) for _ in range(3)]
    await _open(gateway, 3)
    with pytest.raises(CUT_OFF):
        await gateway.connect()
    kept[0][1].close()
    await _open(gateway, 2)
    assert (await gateway.ask("/executions"))[0] == 401


async def test_failed_handshakes_are_given_back(serve_gateway: ServeGateway) -> None:
    gateway = await serve_gateway()
    for _ in range(10):
        reader, writer = await gateway.connect(tls=False)
        writer.write(b"GET / HTTP/1.1\r\n\r\n")
        await reader.read()
        writer.close()
    await _open(gateway, 0)


async def test_forwarded_address_counts_behind_a_trusted_proxy(serve_gateway: ServeGateway) -> None:
    limits = RequestLimits(failed_tokens_per_minute=1)
    gateway = await serve_gateway(limits=limits, proxies="127.0.0.0/8")
    bad = "Authorization: Bearer bad-{}"
    assert (await gateway.ask("/executions", bad.format(1), "X-Forwarded-For: 192.0.2.1"))[0] == 401
    assert (await gateway.ask("/executions", bad.format(2), "X-Forwarded-For: 192.0.2.1"))[0] == 429
    # The proxy's own word comes last: what a client has written before it counts for nothing.
    assert (await gateway.ask("/executions", bad.format(3), "X-Forwarded-For: 192.0.2.9, 192.0.2.1"))[0] == 429
    assert (await gateway.ask("/executions", bad.format(4), "X-Forwarded-For: 192.0.2.2"))[0] == 401


async def test_forwarded_address_of_anybody_is_ignored(serve_gateway: ServeGateway) -> None:
    gateway = await serve_gateway(limits=RequestLimits(failed_tokens_per_minute=1))
    asked = [
        (await gateway.ask("/executions", f"Authorization: Bearer bad-{n}", f"X-Forwarded-For: 192.0.2.{n}"))[0]
        for n in range(3)
    ]
    assert asked == [401, 429, 429]


@pytest.mark.parametrize(
    ("peer", "forwarded", "address"),
    [
        (("192.0.2.1", 1), ["198.51.100.7"], "192.0.2.1"),
        (("10.0.0.1", 1), [], "10.0.0.1"),
        (("10.0.0.1", 1), ["198.51.100.7"], "198.51.100.7"),
        (("10.0.0.1", 1), ["203.0.113.5, 198.51.100.7", "10.0.0.2"], "198.51.100.7"),
        (("10.0.0.1", 1), ["nonsense"], "10.0.0.1"),
        (("::ffff:10.0.0.1", 1, 0, 0), ["2001:db8::1:2:3:4"], "2001:db8::/64"),
        (("2001:db8:1:2:3::4%eth0", 1, 0, 0), [], "2001:db8:1:2::/64"),
        ("", [], UNKNOWN),
    ],
)
def test_address_of_a_request(peer: object, forwarded: list[str], address: str) -> None:
    assert address_of(peer, forwarded, networks("10.0.0.0/8")) == address


def test_proxies_have_no_limit_but_the_total() -> None:
    connections = ConnectionCounts(RequestLimits(max_connections=5, max_connections_per_address=1))
    for _ in range(4):
        assert connections.refusal("10.0.0.1", proxy=True) is None
        connections.opened("10.0.0.1")
    assert connections.refusal("10.0.0.1", proxy=False) == "CHAINGRAPH_MAX_CONNECTIONS_PER_ADDRESS"
    connections.opened("10.0.0.1")
    assert connections.refusal("10.0.0.1", proxy=True) == "CHAINGRAPH_MAX_CONNECTIONS"
