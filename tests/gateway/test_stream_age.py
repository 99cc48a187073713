"""Streams live for a while only, so that rights are asked for again; who comes back loses and repeats nothing."""

from __future__ import annotations

import asyncio
import re
import ssl
from contextlib import suppress
from urllib.parse import urlsplit

import pytest

from fixtures.ledger.written_log import Written
from fixtures.processes.cut_off import Way
from fixtures.processes.gateway import LOG_READER, People, RunGateway
from fixtures.processes.proxy import MakeProxy
from fixtures.waiting import eventually

pytestmark = pytest.mark.integration

SHORT = "1"
LIVELY = {"CHAINGRAPH_HEARTBEAT_SECONDS": "0.2"}
AGED = "chaingraph_gateway_streams_aged_total"


async def test_each_event_arrives_once_across_many_stream_ends(
    run_gateway: RunGateway, people: People, written: Written
) -> None:
    gateway = run_gateway(CHAINGRAPH_STREAM_SECONDS=SHORT)
    log = await written.execution()
    path = f"/executions/{log.id}/events"

    async def write() -> int:
        """Until streams of all followers have ended several times."""
        count = 0
        while gateway.metric(AGED) < 24:
            await log.append(*["node:started", "node:completed"] * 5)
            count += 10
            await asyncio.sleep(0.02)
        await log.complete()
        return count + 1

    async def follow() -> list[str]:
        return [each.id async for stream in gateway.over_ends(path, people.admin) for each in stream if each.event]

    followers = [asyncio.create_task(follow()) for _ in range(6)]
    count = await write()
    expected = [str(index) for index in [*range(-1, count), count - 1]]
    assert all(found == expected for found in await asyncio.gather(*followers))


async def test_quiet_stream_ends_with_a_resume_position(
    run_gateway: RunGateway, people: People, written: Written
) -> None:
    gateway = run_gateway(CHAINGRAPH_STREAM_SECONDS=SHORT)
    log = await written.execution()
    path = f"/executions/{log.id}/events"
    await log.append("flow:started", "node:started")
    async with gateway.client(people.admin) as client:
        answer = await client.get(path, params={"types": "node:completed"})
        assert answer.headers["ChainGraph-Execution"] == log.id
        # What it did not ask for is not looked at again for it; no data, so it is no event.
        assert answer.text.split("\n\n")[1:] == [": reconnect, your rights are checked again\nid: 1", ""]
        # One who waits for what is far away keeps to what it was asking for.
        answer = await client.get(path, params={"fromIndex": "4"})
        assert answer.text.split("\n\n")[1:] == [": reconnect, your rights are checked again", ""]
    gateway.wait_figure(f"{AGED} 2.0")
    gateway.wait_figure("chaingraph_gateway_streams 0.0")
    await log.append("node:completed")
    await log.complete()
    assert [each.id for each in await gateway.all(path, people.admin, after=1)] == ["2", "3", "3"]


async def test_invalidated_token_ends_the_stream(run_gateway: RunGateway, people: People, written: Written) -> None:
    # One to begin with and one to come back to, which has not heard of the token before.
    first, second = run_gateway(CHAINGRAPH_STREAM_SECONDS=SHORT), run_gateway()
    log = await written.execution()
    path = f"/executions/{log.id}/events"
    reader = people.service_account("reader", LOG_READER)
    async with first.follow(path, reader) as stream:
        assert [(await anext(stream)).event for _ in range(2)] == ["", "execution:created"]
        people.kubectl("-n", people.namespace, "delete", "serviceaccount", "reader")
        assert [each.event async for each in stream if each.event] == []

    async def forgotten() -> bool:
        return not people.accepted(reader)

    await eventually(forgotten, what="the API server to accept the token no more")
    refused = await second.ask(path, reader, headers={"Last-Event-ID": "-1"})
    assert refused.status_code == 401
    assert "it may have expired" in refused.json()["message"]


async def test_streams_stay_open_while_postgresql_is_away(
    run_gateway: RunGateway, people: People, written: Written, make_proxy: MakeProxy, database_url: str
) -> None:
    proxy = make_proxy(database_url)
    gateway = run_gateway(DATABASE_URL_EXECUTIONS=proxy.url, CHAINGRAPH_STREAM_SECONDS=SHORT, **LIVELY)
    log = await written.execution()
    path = f"/executions/{log.id}/events"
    async with gateway.follow(path, people.admin) as stream:
        assert [(await anext(stream)).event for _ in range(2)] == ["", "execution:created"]
        proxy.cut()
        # Comments for more than twice the setting.
        assert {(await anext(stream)).comment for _ in range(15)} == {"heartbeat"}
        await log.append("flow:started")
        proxy.restore()
        rest = [each async for each in stream if each.comment != "heartbeat"]
    # It was too old already when there was something new.
    assert [each.id for each in rest] == ["-1"]
    gateway.wait_figure(f"{AGED} 1.0")
    await log.complete()
    assert [each.id for each in await gateway.all(path, people.admin, after=-1)] == ["0", "1", "1"]


@pytest.mark.long
async def test_streams_stay_open_while_the_api_server_is_away(
    run_gateway: RunGateway, people: People, written: Written, way: Way
) -> None:
    proxy, kubeconfig = way
    # Longer than it is remembered that the right was there.
    gateway = run_gateway(KUBECONFIG=str(kubeconfig), CHAINGRAPH_STREAM_SECONDS="10", **LIVELY)
    log = await written.execution()
    path = f"/executions/{log.id}/events"
    async with gateway.follow(path, people.admin) as stream:
        assert [(await anext(stream)).event for _ in range(2)] == ["", "execution:created"]
        proxy.cut()
        assert {(await anext(stream)).comment for _ in range(105)} == {"heartbeat"}
        await log.append("flow:started")
        # Nobody can say whether it may be read, so it is not sent.
        assert {(await anext(stream)).comment for _ in range(5)} == {"heartbeat"}
        proxy.restore()
        rest = [each async for each in stream if each.comment != "heartbeat"]
    assert [each.id for each in rest] == ["-1"]
    await log.complete()
    assert [each.id for each in await gateway.all(path, people.admin, after=-1)] == ["0", "1", "1"]


async def test_aged_replay_is_aborted_so_it_cannot_look_complete(
    run_gateway: RunGateway, people: People, written: Written
) -> None:
    gateway = run_gateway(CHAINGRAPH_STREAM_SECONDS=SHORT)
    log = await written.execution()
    for _ in range(80):
        await log.append(*["node:completed"] * 250, text="x" * 1000)
    address = urlsplit(gateway.url)
    context = ssl.create_default_context(cafile=str(gateway.ca))
    reader, writer = await asyncio.open_connection(address.hostname, address.port, ssl=context, limit=4096)
    path = f"/executions/{log.id}/events"
    request = f"GET {path}?follow=false HTTP/1.1\r\nHost: gateway\r\nConnection: close\r\n"
    writer.write(f"{request}Authorization: Bearer {people.admin.token}\r\n\r\n".encode())
    received = await reader.readuntil(b"execution:created")
    # More than twice the setting: it is too old now, whatever chance has given it.
    await asyncio.sleep(2.5)
    with suppress(ConnectionError):
        while chunk := await reader.read(1_000_000):
            received += chunk
    writer.close()
    assert not received.endswith(b"0\r\n\r\n")
    whole = [int(each) for each in re.findall(rb"id: (-?\d+)\nevent: [^\n]+\ndata: [^\n]+\n\n", received)]
    assert whole == list(range(-1, whole[-1] + 1))
    assert whole[-1] < 19_999
    gateway.wait_figure(f"{AGED} 1.0")
    patient = run_gateway()
    rest = await patient.all(path, people.admin, after=whole[-1], follow="false")
    assert [int(each.id) for each in rest] == list(range(whole[-1] + 1, 20_000))
