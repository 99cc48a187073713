"""Streams of events: replay, live, resumed, filtered, ended."""

from __future__ import annotations

import asyncio
import re
import ssl
from urllib.parse import urlsplit

import httpx
import pytest

from chaingraph_store.children import completion
from fixtures.ledger.written_log import Written
from fixtures.processes.gateway import LOG_READER, Message, People, RunGateway
from fixtures.waiting import eventually

pytestmark = pytest.mark.integration


async def test_stream_replays_then_follows_then_ends(run_gateway: RunGateway, people: People, written: Written) -> None:
    gateway = run_gateway()
    reader = people.service_account("reader", LOG_READER)
    log = await written.execution()
    await log.append("flow:started", "node:started", text="before")
    async with gateway.follow(f"/executions/{log.id}/events", reader) as stream:
        first = await anext(stream)
        assert first.retry.isdigit()
        replayed = [await anext(stream) for _ in range(3)]
        assert [(each.id, each.event) for each in replayed] == [
            ("-1", "execution:created"),
            ("0", "flow:started"),
            ("1", "node:started"),
        ]
        assert replayed[2].data.keys() == {"index", "type", "timestamp", "data"}
        assert (replayed[2].data["index"], replayed[2].data["data"]) == (1, {"text": "before"})
        for number in range(20):
            await log.append("node:completed", text=f"line\n{number}")
            message = await anext(stream)
            assert (message.id, message.data["data"]) == (str(2 + number), {"text": f"line\n{number}"})
        await log.complete()
        rest = [each async for each in stream]
    assert [(each.id, each.event) for each in rest] == [("22", "flow:completed"), ("22", "end")]
    assert rest[-1].data == {"phase": "Completed", "attempt": 1, "nextIndex": 23}


async def test_subscriber_resumes_after_a_gateway_kill(
    run_gateway: RunGateway, people: People, written: Written
) -> None:
    first = run_gateway()
    log = await written.execution()
    path = f"/executions/{log.id}/events"
    seen: list[Message] = []

    async def write() -> None:
        for _ in range(60):
            await log.append(*["node:started", "node:completed"] * 5)
            await asyncio.sleep(0.02)
        await log.complete()

    async def follow_until_it_dies() -> None:
        async with first.follow(path, people.admin) as stream:
            async for message in stream:
                if message.event:
                    seen.append(message)
                if len(seen) == 100:
                    first.kill()

    writing = asyncio.create_task(write())
    with pytest.raises(httpx.TransportError):
        await follow_until_it_dies()
    second = run_gateway()
    seen += await second.all(path, people.admin, after=int(seen[-1].id))
    await writing
    assert [int(each.id) for each in seen if each.event != "end"] == list(range(-1, 601))
    assert seen[-1].event == "end"


async def test_terminated_gateway_ends_streams_after_a_whole_event(
    run_gateway: RunGateway, people: People, written: Written
) -> None:
    gateway = run_gateway()
    log = await written.execution()
    async with gateway.follow(f"/executions/{log.id}/events", people.admin) as stream:
        assert [(await anext(stream)).event for _ in range(2)] == ["", "execution:created"]
        gateway.process.terminate()
        assert [each async for each in stream] == []
    assert gateway.process.wait(10) == 0


async def test_types_are_filtered_in_replay_and_live(run_gateway: RunGateway, people: People, written: Written) -> None:
    gateway = run_gateway()
    log = await written.execution()
    path = f"/executions/{log.id}/events"
    for _ in range(30):
        await log.append(*["edge:transfer-completed"] * 99, "node:failed")
    async with gateway.follow(path, people.admin, types="node:failed,flow:completed") as stream:
        await anext(stream)
        assert [(await anext(stream)).id for _ in range(30)] == [str(99 + 100 * n) for n in range(30)]
        await log.append("edge:transfer-completed", "node:failed", "node:started")
        assert (await anext(stream)).id == "3001"
        await log.complete()
        assert [(each.id, each.event) async for each in stream] == [("3003", "flow:completed"), ("3003", "end")]


async def test_stream_supports_from_index_and_no_follow(
    run_gateway: RunGateway, people: People, written: Written
) -> None:
    gateway = run_gateway()
    log = await written.execution()
    path = f"/executions/{log.id}/events"
    await log.append("flow:started", "node:started", "node:completed")
    assert [each.id for each in await gateway.all(path, people.admin, follow="false", fromIndex=1)] == ["1", "2"]
    # The header is the later word: a browser repeats the address it was given, and adds the header.
    again = await gateway.all(path, people.admin, after=1, follow="false", fromIndex=0)
    assert [each.id for each in again] == ["2"]
    assert await gateway.all(path, people.admin, follow="false", fromIndex=3) == []
    async with gateway.follow(path, people.admin, fromIndex=4) as stream:
        await anext(stream)
        await log.append("node:started", "node:completed")
        assert (await anext(stream)).id == "4"


async def test_stream_ends_with_the_execution_and_resumes_on_retry(
    run_gateway: RunGateway, people: People, written: Written
) -> None:
    gateway = run_gateway()
    log = await written.execution()
    path = f"/executions/{log.id}/events"
    await log.append("flow:started", "flow:failed", phase="Failed")
    events = await gateway.all(path, people.admin)
    assert [each.id for each in events] == ["-1", "0", "1", "1"]
    assert events[-1].data == {"phase": "Failed", "attempt": 1, "nextIndex": 2}
    # Cut before the end, a subscriber still has something to come; after it, nothing.
    assert [each.event for each in await gateway.all(path, people.admin, after=0)] == ["flow:failed", "end"]
    nothing = await gateway.ask(path, people.admin, headers={"Last-Event-ID": events[-1].id})
    assert (nothing.status_code, nothing.content) == (204, b"")
    await log.append("flow:started", phase="Running", attempt=2)
    async with gateway.follow(path, people.admin, after=1) as stream:
        assert [(await anext(stream)).event for _ in range(2)] == ["", "flow:started"]
        await log.append("flow:completed", phase="Completed")
        rest = [each async for each in stream]
    assert [each.event for each in rest] == ["flow:completed", "end"]
    assert rest[-1].data == {"phase": "Completed", "attempt": 2, "nextIndex": 4}


async def test_parents_stream_continues_until_its_tree_has_ended(
    run_gateway: RunGateway, people: People, written: Written
) -> None:
    gateway = run_gateway()
    root = await written.execution("root")
    path = f"/executions/{root.id}/events"
    async with gateway.follow(path, people.admin) as stream:
        await root.complete(children=2)
        first, second = [await written.execution(f"root-{number}", parent=root) for number in range(2)]
        assert [(await anext(stream)).event for _ in range(3)] == ["", "execution:created", "flow:completed"]
        # Who comes back now has everything, and there will be more.
        async with gateway.follow(path, people.admin, after=0) as again:
            await anext(again)
            await first.complete()
            await root.settle()
            assert [(await anext(each)).event for each in (stream, again)] == ["child:completed"] * 2
        await second.complete(children=1)
        grandchild = await written.execution("root-1-0", parent=second)
        await root.settle()
        assert (await anext(stream)).event == "child:completed"
        await grandchild.fail("load")
        # What is left to end has no event of its own in this log.
        await second.settle()
        rest = [each async for each in stream]
    assert [each.event for each in rest] == ["end"]
    assert rest[0].data == {"phase": "Completed", "attempt": 1, "nextIndex": 3}
    nothing = await gateway.ask(path, people.admin, headers={"Last-Event-ID": "2"})
    assert (nothing.status_code, nothing.content) == (204, b"")


async def test_retried_child_reopens_its_parents_stream(
    run_gateway: RunGateway, people: People, written: Written
) -> None:
    gateway = run_gateway()
    root = await written.execution("root")
    await root.complete(children=1)
    child = await written.execution("root-0", parent=root)
    await child.fail("load")
    await root.settle()
    path = f"/executions/{root.id}/events"
    ended = await gateway.all(path, people.admin)
    assert [each.event for each in ended] == ["execution:created", "flow:completed", "child:failed", "end"]
    async with child.ledger.transaction() as connection:
        await completion.reopen(connection, child.id)
    async with gateway.follow(path, people.admin, after=1) as stream:
        await anext(stream)
        await child.append("flow:completed", phase="Completed", attempt=2)
        await root.settle()
        rest = [each async for each in stream]
    assert [(each.event, each.id) for each in rest] == [("child:completed", "2"), ("end", "2")]


async def test_heartbeats_fill_every_silence(run_gateway: RunGateway, people: People, written: Written) -> None:
    gateway = run_gateway(CHAINGRAPH_HEARTBEAT_SECONDS="0.1")
    log = await written.execution()
    async with gateway.follow(f"/executions/{log.id}/events", people.admin, fromIndex=0) as stream:
        await anext(stream)
        assert [(await anext(stream)).comment for _ in range(3)] == ["heartbeat"] * 3
        await log.append("flow:started")
        following = [await anext(stream) for _ in range(8)]
    assert [each.event for each in following if each.event] == ["flow:started"]


async def test_lost_notification_loses_no_event(run_gateway: RunGateway, people: People, written: Written) -> None:
    gateway = run_gateway(CHAINGRAPH_HEARTBEAT_SECONDS="0.2")
    log = await written.execution()
    async with gateway.follow(f"/executions/{log.id}/events", people.admin) as stream:
        assert [(await anext(stream)).event for _ in range(2)] == ["", "execution:created"]
        await log.append("flow:started", notify=False)
        async for message in stream:
            if message.event:
                assert message.event == "flow:started"
                break


async def test_followers_of_one_execution_share_its_reads(
    run_gateway: RunGateway, people: People, written: Written
) -> None:
    gateway = run_gateway()
    log = await written.execution()

    async def follow() -> list[str]:
        return [each.id for each in await gateway.all(f"/executions/{log.id}/events", people.admin)]

    followers = [asyncio.create_task(follow()) for _ in range(20)]

    async def all_there() -> bool:
        return gateway.metric("chaingraph_gateway_streams") == 20

    await eventually(all_there, what="20 streams")
    before = gateway.metric('chaingraph_gateway_log_reads_total{by="subscriber"}')
    for _ in range(50):
        await log.append(*["node:completed"] * 20)
    await log.complete()
    expected = [str(index) for index in [*range(-1, 1001), 1000]]
    assert all(found == expected for found in await asyncio.gather(*followers))
    assert gateway.metric('chaingraph_gateway_log_reads_total{by="subscriber"}') == before
    gateway.wait_figure("chaingraph_gateway_events_sent_total 20040.0")


async def test_slow_subscriber_loses_nothing_and_delays_no_other(
    run_gateway: RunGateway, people: People, written: Written
) -> None:
    gateway = run_gateway()
    log = await written.execution()
    address = urlsplit(gateway.url)
    context = ssl.create_default_context(cafile=str(gateway.ca))
    # It takes a few kilobytes and then nothing more, until all others have everything.
    reader, writer = await asyncio.open_connection(address.hostname, address.port, ssl=context, limit=4096)
    request = f"GET /executions/{log.id}/events HTTP/1.1\r\nHost: gateway\r\nConnection: close\r\n"
    writer.write(f"{request}Authorization: Bearer {people.admin.token}\r\n\r\n".encode())
    received = await reader.readuntil(b"execution:created")
    async with gateway.follow(f"/executions/{log.id}/events", people.admin) as stream:
        for _ in range(80):
            await log.append(*["node:completed"] * 250, text="x" * 1000)
        await log.complete()
        prompt = [each.id async for each in stream if each.event]
    expected = [str(index) for index in [*range(-1, 20_001), 20_000]]
    assert prompt == expected
    assert gateway.metric("chaingraph_gateway_streams") == 1
    while chunk := await reader.read(1_000_000):
        received += chunk
    writer.close()
    assert [each.decode() for each in re.findall(rb"id: (-?\d+)\n", received)] == expected
    # What it missed was no longer kept for all, so it was read for it alone.
    assert gateway.metric('chaingraph_gateway_log_reads_total{by="subscriber"}') > 10


async def test_stream_limit_rejects_further_streams(run_gateway: RunGateway, people: People, written: Written) -> None:
    gateway = run_gateway(CHAINGRAPH_MAX_STREAMS="1")
    log = await written.execution()
    path = f"/executions/{log.id}/events"
    async with gateway.follow(path, people.admin) as stream:
        await anext(stream)
        refused = await gateway.ask(path, people.admin)
    assert (refused.status_code, refused.headers["Retry-After"]) == (503, "5")
    assert "at most 1 streams" in refused.json()["message"]

    async def free() -> bool:
        return gateway.metric("chaingraph_gateway_streams") == 0

    await eventually(free, what="the end of the stream that its subscriber has left")


async def test_bad_requests_are_answered_before_a_stream_begins(
    run_gateway: RunGateway, people: People, written: Written
) -> None:
    gateway = run_gateway()
    log = await written.execution()
    path = f"/executions/{log.id}/events"
    unknown = await gateway.ask(path, people.admin, params={"types": "node:complete"})
    assert unknown.status_code == 400
    assert unknown.json() == {
        "status": 400,
        "reason": "BadRequest",
        "message": "types: 'node:complete' is not an event type; did you mean 'node:completed'?",
        "field": "types",
        "value": "node:complete",
    }
    beyond = await gateway.ask(path, people.admin, headers={"Last-Event-ID": "17"})
    assert beyond.status_code == 400
    assert "beyond the newest event, -1" in beyond.json()["message"]
    assert (await gateway.ask("/executions/17/events", people.admin)).json()["field"] == "id"
