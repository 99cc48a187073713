"""Streams of events: replay, live, resumed, filtered, ended."""

from __future__ import annotations

import time

import pytest

from fixtures.gateway import LOG_READER, People, RunGateway
from fixtures.written_log import Written

pytestmark = pytest.mark.integration


async def test_replay_then_live_then_the_end(run_gateway: RunGateway, people: People, written: Written) -> None:
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
            began = time.perf_counter()
            await log.append("node:completed", text=f"line\n{number}")
            message = await anext(stream)
            assert (message.id, message.data["data"]) == (str(2 + number), {"text": f"line\n{number}"})
            print(f"{(time.perf_counter() - began) * 1000:.1f} ms")
        await log.complete()
        rest = [each async for each in stream]
    assert [(each.id, each.event) for each in rest] == [("22", "flow:completed"), ("22", "end")]
    assert rest[-1].data == {"phase": "Completed", "attempt": 1, "nextIndex": 23}
