"""A runner goes from one execution to the next: nothing that concerns the former one reaches the later one."""

from __future__ import annotations

import asyncio
import json
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from chaingraph_worker.errors import SecretReason, SecretRefused
from chaingraph_worker.runner.assignment import Assignment
from chaingraph_worker.supervision.engine import EngineReport, NodeEnd, ReadSecret, RemoteEngine
from chaingraph_worker.supervision.killed import Bounds
from chaingraph_worker.supervision.pool import Pool, PoolSettings
from fixtures.waiting import eventually

pytestmark = pytest.mark.integration

REFERENCE = {"secretKeyRef": {"name": "api", "key": "token"}}


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


def engine_of(
    milliseconds: int, *, namespace: str = "team", secret: ReadSecret | None = None, with_secret: bool = False
) -> RemoteEngine:
    nodes: list[dict[str, Any]] = [{"id": "s", "type": "Sleep", "inputs": {"milliseconds": milliseconds}}]
    if with_secret:
        nodes.append({"id": "h", "type": "HTTP", "inputs": {"baseUri": "http://127.0.0.1:1", "bearerToken": REFERENCE}})
    flow = {"nodes": nodes}
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
    fields["namespace"] = namespace
    assignment = Assignment(**fields, flow_spec=json.dumps(flow).encode())

    async def may_spawn(_count: int) -> str | None:
        return None

    return RemoteEngine(assignment, Discarding(), on_control=lambda: None, may_spawn=may_spawn, secret=secret)


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


async def test_runner_that_knows_a_secret_serves_no_other_namespace(pool: Pool) -> None:
    asked: list[tuple[str, Any]] = []

    async def read(namespace: str, reference: Any) -> tuple[str, str]:
        asked.append((namespace, reference))
        return "a secret", "the-value-of-a-secret"

    async def pid_of(engine: RemoteEngine) -> int:
        await engine.run(pool)
        assert engine._runner is not None
        return engine._runner.pid

    knows = await pid_of(engine_of(1, secret=read, with_secret=True))
    assert asked == [("team", REFERENCE)], "the namespace is what the worker itself knows"
    assert await pid_of(engine_of(1)) == knows, "for the same namespace it is used again"
    # At the same time, so that every idle runner is wanted.
    others = await asyncio.gather(*(pid_of(engine_of(300, namespace=f"other-{number}")) for number in range(3)))
    assert knows not in others
    await eventually(lambda: _gone(pool, knows), what="the end of the runner that knows the secret")


async def _gone(pool: Pool, pid: int) -> bool:
    return pid not in pool.process_ids


async def test_refused_secret_fails_the_node_and_leaves_the_runner(pool: Pool) -> None:
    async def refuse(_namespace: str, _reference: Any) -> tuple[str, str]:
        raise SecretRefused(SecretReason.NOT_FOUND, "Secret 'api' not found")

    engine = engine_of(1, secret=refuse, with_secret=True)
    end = await engine.run(pool)
    assert (end.outcome, end.error_reason, end.error_message) == ("Failed", "SecretNotFound", "Secret 'api' not found")
    assert engine._runner is not None
    assert not engine._runner.knows_secrets


async def test_error_of_the_source_of_secrets_ends_the_engine(pool: Pool) -> None:
    async def fail(_namespace: str, _reference: Any) -> tuple[str, str]:
        raise RuntimeError("a bug")

    with pytest.raises(RuntimeError, match="a bug"):
        await engine_of(1, secret=fail, with_secret=True).run(pool)


async def test_runner_writes_no_core_dump(pool: Pool) -> None:
    engine = engine_of(1)
    await engine.run(pool)
    assert engine._runner is not None
    assert _core_limit(engine._runner.pid) == ["0", "0"]


def _core_limit(pid: int) -> list[str]:
    lines = Path(f"/proc/{pid}/limits").read_text(encoding="utf-8").splitlines()
    [core] = [line for line in lines if line.startswith("Max core file size")]
    return core.split()[4:6]


def test_memory_is_closed_to_other_processes() -> None:
    get_dumpable = 3
    code = (
        "import ctypes\nfrom chaingraph_worker.runner import limits\n"
        f"limits.keep_memory_private()\nprint(ctypes.CDLL(None).prctl({get_dumpable}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "0"
