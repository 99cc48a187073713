"""The processor time of an engine in a runner, beside the same engine in this process. Used by `isolation`."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bench.cluster import STEPS
from chaingraph_flow import FlowEvent, NodeRecord, Registry, WaitRecord
from chaingraph_worker.runner.assignment import Assignment
from chaingraph_worker.runner.engine import engine_of
from chaingraph_worker.runner.reports import to_bytes
from chaingraph_worker.supervision.engine import EngineReport, NodeEnd, RemoteEngine
from chaingraph_worker.supervision.killed import Bounds
from chaingraph_worker.supervision.pool import Pool, PoolSettings


class _InProcess:
    """A recorder that writes JSON, as the worker did when engines ran in it. Also an engine's supervisor."""

    def record(self, record: NodeRecord) -> None:
        to_bytes(record.to_json())

    def wait(self, record: WaitRecord) -> None:
        to_bytes(record.to_json())

    def publish(self, event: FlowEvent) -> None:
        to_bytes(event.data)

    async def settled(self) -> None:
        pass


class _Remote:
    """The worker's recorder: it gets bytes."""

    def take(self, ends: Sequence[NodeEnd], log: Sequence[EngineReport]) -> None:
        pass

    async def settled(self) -> None:
        pass


async def border_ms(count: int) -> float:
    """Milliseconds of processor time that an execution of three nodes costs more in a runner."""
    in_process = await _in_process(count)
    in_runner = await _in_runner(count)
    return (in_runner - in_process) / count * 1000


def _nothing() -> None:
    pass


async def _may_spawn(_count: int) -> str | None:
    return None


async def _in_process(count: int) -> float:
    registry = Registry.discover()
    before = time.process_time()
    for _ in range(count):
        engine, _graph = engine_of(
            _assignment(), registry, recorder=_InProcess(), on_control=_nothing, may_spawn=_may_spawn, supervisor=None
        )
        to_bytes((await engine.run()).outputs)
    return time.process_time() - before


async def _in_runner(count: int) -> float:
    bounds = Bounds(memory_mb=256, cpu_seconds=3600, silence_seconds=30)
    settings = PoolSettings(bounds, lease_seconds=60, log_level="warning", idle=2, largest_message=2**28)
    pool = Pool(settings, _fork_server(settings))
    await pool.open()
    keeping = asyncio.create_task(pool.keep())
    pids: set[int] = set()

    async def once() -> None:
        await RemoteEngine(_assignment(), _Remote(), on_control=_nothing, may_spawn=_may_spawn).run(pool)
        pids.update(pool.process_ids)

    for _ in range(20):
        await once()
    before = time.process_time() + cpu_seconds(pids)
    for _ in range(count):
        await once()
    took = time.process_time() + cpu_seconds(pids) - before
    keeping.cancel()
    pool.close()
    return took


def _fork_server(settings: PoolSettings) -> socket.socket:
    ours, theirs = socket.socketpair()
    with theirs:
        command = [sys.executable, "-P", "-m", "chaingraph_worker.runner.fork_server", str(theirs.fileno())]
        subprocess.Popen([*command, json.dumps(asdict(settings.of_runner))], pass_fds=[theirs.fileno()])
    return ours


def _assignment() -> Assignment:
    fields: dict[str, Any] = {
        "execution_id": "EX", "namespace": "bench", "name": "bench", "attempt": 1, "root_id": "EX", "parent_id": None,
        "depth": 0, "started_before": False, "paused": False, "pause_node": "", "pause_logged": False,
        "breakpoints": [], "held_nodes": [], "steps_owed": 0, "ran_ms": 0, "control_seq": 0, "applied_seq": 0,
        "killed": [], "limits": {"max_depth": 10, "max_children": 10},
    }  # fmt: skip
    fields |= {
        "inputs": b'{"n":1}',
        "events": b"[]",
        "integration": b"{}",
        "options": b"{}",
        "journal": b"[]",
        "signals": b"[]",
    }
    return Assignment(**fields, flow_spec=json.dumps(STEPS).encode())


def cpu_seconds(pids: set[int]) -> float:
    """The processor time that these processes have used so far."""
    ticks = 0
    for pid in pids:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")
