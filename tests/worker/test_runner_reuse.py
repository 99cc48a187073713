"""A runner goes from one execution to the next: nothing that concerns the former one reaches the later one."""

from __future__ import annotations

import asyncio
import json
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import asdict
from typing import Any

import pytest

from chaingraph_worker.runner.assignment import Assignment
from chaingraph_worker.supervision.engine import EngineReport, NodeEnd, RemoteEngine
from chaingraph_worker.supervision.killed import Bounds
from chaingraph_worker.supervision.pool import Pool, PoolSettings
from fixtures.waiting import eventually

pytestmark = pytest.mark.integration


class Discarding:
    """A recorder without a ledger."""

    def take(self, ends: Sequence[NodeEnd], log: Sequence[EngineReport]) -> None:
        pass

    async def settled(self) -> None:
        pass


@pytest.fixture
async def pool() -> AsyncIterator[Pool]:
    """A pool that keeps idle runners, so that the next execution gets the runner of the last one."""
    bounds = Bounds(memory_mb=256, cpu_seconds=60, silence_seconds=30)
    settings = PoolSettings(bounds, lease_seconds=60, log_level="warning", idle=2, largest_message=2**20)
    ours, theirs = socket.socketpair()
    with theirs:
        command = [sys.executable, "-P", "-m", "chaingraph_worker.runner.fork_server", str(theirs.fileno())]
        server = subprocess.Popen(  # noqa: ASYNC220 - it returns at once
            [*command, json.dumps(asdict(settings.of_runner))], pass_fds=[theirs.fileno()]
        )
    made = Pool(settings, ours)
    await made.open()
    keeping = asyncio.create_task(made.keep())
    yield made
    keeping.cancel()
    made.close()
    server.kill()
    server.wait()


def engine_of(milliseconds: int) -> RemoteEngine:
    flow = {"nodes": [{"id": "s", "type": "Sleep", "inputs": {"milliseconds": milliseconds}}]}
    fields: dict[str, Any] = {
        "execution_id": "EX",
        "namespace": "team",
        "name": "nightly",
        "attempt": 1,
        "root_id": "EX",
        "parent_id": None,
        "depth": 0,
        "started_before": False,
        "paused": False,
        "pause_node": "",
        "pause_logged": False,
        "breakpoints": [],
        "held_nodes": [],
        "steps_owed": 0,
        "ran_ms": 0,
        "control_seq": 0,
        "applied_seq": 0,
        "killed": [],
        "limits": {"max_depth": 10, "max_children": 10},
        "inputs": b"{}",
        "events": b"[]",
        "integration": b"{}",
        "options": b"{}",
        "journal": b"[]",
        "signals": b"[]",
    }
    assignment = Assignment(**fields, flow_spec=json.dumps(flow).encode())

    async def may_spawn(_count: int) -> str | None:
        return None

    return RemoteEngine(assignment, Discarding(), on_control=lambda: None, may_spawn=may_spawn)


async def begun(engine: RemoteEngine) -> bool:
    return engine.begun


@pytest.mark.parametrize(
    "late",
    [
        lambda engine: engine.stop("the execution is Completed"),
        lambda engine: engine.park(),
        lambda engine: engine.command({"seq": 1, "kind": "PAUSE"}),
        lambda engine: engine.hold_back(),
    ],
    ids=["stop", "park", "pause", "hold back"],
)
async def test_late_message_to_an_ended_engine_reaches_no_other(
    pool: Pool, late: Callable[[RemoteEngine], None]
) -> None:
    first = engine_of(1)
    assert (await first.run(pool)).outcome == "Completed"
    second = engine_of(500)
    running = asyncio.create_task(second.run(pool))
    await eventually(lambda: begun(second), what="the start of the second one")
    assert second._runner is first._runner
    late(first)
    assert (await asyncio.wait_for(running, 20)).outcome == "Completed"
