"""How soon a patch takes effect in the engine, and how soon a subscriber hears of it.

The clock of a patch starts before its request is sent. Pauses end with the time in the engine's own event, stops with
the line that the worker logs when the engine has ended and its nodes are cancelled, events at their arrival in a
subscriber of the gateway. All clocks are this machine's. Beside them, from the same run: the bare requests, a bare
message from one DBOS workflow to another, and a bare notification of PostgreSQL.
"""

from __future__ import annotations

import asyncio
import json
import ssl
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any

import httpx
import psycopg

from bench import raw
from bench.cluster import EXECUTIONS, STEPS, BenchCluster, bench_cluster, sleeps
from bench.results import Figure, arguments, report
from bench.start import first_nodes
from chaingraph_store.ids import execution_id

LONG: dict[str, Any] = sleeps(500, 1900)
"""At work for half an hour. A longer sleep would give its slot up."""
_CHAIN = 200
CHAIN: dict[str, Any] = sleeps(_CHAIN, 20)
_ENGINE_ENDED = "the attempt no longer belongs to this worker"
_LATEST = "SELECT extract(epoch FROM at) FROM chaingraph.events WHERE execution_id = %s AND type = %s ORDER BY index"


class Bench:
    """One run: the cluster and a connection to its ledger."""

    def __init__(self, cluster: BenchCluster, ledger: psycopg.AsyncConnection[Any]) -> None:
        self._cluster = cluster
        self._ledger = ledger

    async def _patch(self, name: str, spec: dict[str, Any]) -> tuple[float, float]:
        """When it was sent and when it was answered, in seconds since the epoch."""
        began = time.time()
        answer = await self._cluster.api.patch(
            f"{EXECUTIONS}/{name}", json={"spec": spec}, headers={"Content-Type": "application/merge-patch+json"}
        )
        answer.raise_for_status()
        return began, time.time()

    async def _times(self, execution: str, event: str, *, at_least: int) -> list[float]:
        """The times of the execution's events of a type, once there are so many."""
        deadline = time.monotonic() + 30
        while True:
            cursor = await self._ledger.execute(_LATEST, (execution, event))
            found = [float(row[0]) for row in await cursor.fetchall()]
            if len(found) >= at_least:
                return found
            if time.monotonic() > deadline:
                raise SystemExit(f"bench: {execution} has {len(found)} events {event}, not {at_least}, after 30 s")
            await asyncio.sleep(0.02)

    async def _running(self, name: str) -> str:
        """Makes an execution of one long node; returns its id once the node runs."""
        made = await self._cluster.create_execution(name, {"flowRef": {"name": "long"}})
        execution = execution_id(made["metadata"]["uid"])
        await self._times(execution, "node:started", at_least=1)
        return execution

    async def pauses(self, count: int) -> tuple[list[float], list[float], list[float]]:
        """Milliseconds from the patch to the engine's pause and to its resumption, and of the patch request itself."""
        execution = await self._running("pauses")
        paused, resumed, requests = [], [], []
        for number in range(1, count + 1):
            began, answered = await self._patch("pauses", {"paused": True})
            at = (await self._times(execution, "flow:paused", at_least=number))[number - 1]
            paused.append((at - began) * 1000)
            requests.append((answered - began) * 1000)
            await asyncio.sleep(0.1)
            began, _ = await self._patch("pauses", {"paused": False})
            at = (await self._times(execution, "flow:resumed", at_least=number))[number - 1]
            resumed.append((at - began) * 1000)
            await asyncio.sleep(0.1)
        await self._patch("pauses", {"stop": True})
        return paused, resumed, requests

    async def stops(self, count: int) -> list[float]:
        """Milliseconds from the patch to the end of the engine, its node cancelled."""
        began: dict[str, float] = {}
        for number in range(count):
            execution = await self._running(f"stop-{number}")
            began[execution], _ = await self._patch(f"stop-{number}", {"stop": True})
            await self._times(execution, "flow:cancelled", at_least=1)
            await asyncio.sleep(0.1)
        await asyncio.sleep(1)
        ended = self._engine_ends()
        if missing := set(began) - set(ended):
            raise SystemExit(f"bench: the worker's log has no end of {sorted(missing)}")
        return [(ended[execution] - at) * 1000 for execution, at in began.items()]

    def _engine_ends(self) -> dict[str, float]:
        ends = {}
        for line in (self._cluster.logs / "worker-1.log").read_text(encoding="utf-8").splitlines():
            if _ENGINE_ENDED in line:
                said = json.loads(line)
                ends[said["execution_id"]] = datetime.fromisoformat(said["time"]).timestamp()
        return ends

    async def events(self) -> list[float]:
        """Milliseconds from the engine's publishing of an event to its arrival in a subscriber."""
        made = await self._cluster.create_execution("events", {"flowRef": {"name": "chain"}})
        execution = execution_id(made["metadata"]["uid"])
        await self._times(execution, "node:started", at_least=1)
        delays = []
        async with _gateway(self._cluster) as gateway:
            subscribed = time.time()
            async for arrived, event in _subscribed(gateway, f"/executions/{execution}/events"):
                published = datetime.fromisoformat(event["timestamp"]).timestamp()
                # What was there before the subscription is replay, and says nothing of the delay.
                if published > subscribed + 0.5:
                    delays.append((arrived - published) * 1000)
        return delays


@asynccontextmanager
async def _gateway(cluster: BenchCluster) -> AsyncIterator[httpx.AsyncClient]:
    answer = await cluster.api.get("/api/v1/namespaces/kube-public/configmaps/chaingraph")
    answer.raise_for_status()
    found = answer.json()["data"]
    async with httpx.AsyncClient(
        base_url=found["gateway"],
        headers={"Authorization": cluster.api.headers["Authorization"]},
        verify=ssl.create_default_context(cadata=found["ca.crt"]),
        trust_env=False,
        timeout=60,
    ) as client:
        yield client


async def _subscribed(gateway: httpx.AsyncClient, path: str) -> AsyncIterator[tuple[float, dict[str, Any]]]:
    """The events with the time of their arrival, to the end of the execution."""
    async with gateway.stream("GET", path) as answer:
        answer.raise_for_status()
        async for line in answer.aiter_lines():
            if line.startswith("data: "):
                arrived = time.time()
                event = json.loads(line.removeprefix("data: "))
                if "timestamp" in event:
                    yield arrived, event


async def main() -> None:
    parser = arguments(__doc__ or "")
    parser.add_argument("--count", type=int, default=100, help="of each kind of patch (default 100)")
    options = parser.parse_args()
    async with (
        bench_cluster(workers=1) as cluster,
        await psycopg.AsyncConnection.connect(cluster.database_url, autocommit=True) as ledger,
    ):
        for name, spec in {"long": LONG, "chain": CHAIN, "steps": STEPS}.items():
            await cluster.apply_flow(name, spec)
        await cluster.create_execution("warm", {"flowRef": {"name": "steps"}, "inputs": {"n": 1}})
        await asyncio.sleep(2)
        bench = Bench(cluster, ledger)
        paused, resumed, requests = await bench.pauses(options.count)
        stopped = await bench.stops(options.count)
        events = await bench.events()
        starts, creates = await first_nodes(cluster, options.count)
        messages = await raw.messages(cluster.database_url, options.count)
        notifications = await raw.notifications(cluster.database_url, options.count)
    report(
        [
            Figure.of("patch_to_paused", "milliseconds", paused),
            Figure.of("patch_to_resumed", "milliseconds", resumed),
            Figure.of("patch_to_stopped", "milliseconds", stopped),
            Figure.of("event_to_subscriber", "milliseconds", events),
            Figure.of("apply_to_first_node", "milliseconds", starts),
            Figure.of("raw_patch", "milliseconds", requests),
            Figure.of("raw_create", "milliseconds", creates),
            Figure.of("raw_message", "milliseconds", messages),
            Figure.of("raw_notification", "milliseconds", notifications),
        ],
        options.output,
    )


if __name__ == "__main__":
    asyncio.run(main())
