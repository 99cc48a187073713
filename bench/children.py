"""What children cost: their parent, each of them, and somebody else who comes while thousands wait.

`child_spawn` goes from the parent's end, as the ledger has it, to the moment when all of its children are there, by the
child: while they are made, the worker already runs the first ones. `raw_enqueue` is DBOS's own part of that: as many
workflows in transactions of as many, on a queue that nobody serves, right after each parent and beside the same running
children. The rest of them is stopped then: their parent is deleted.

`parent_completed` and `childless_completed` go from the apply to the end in the ledger, of two flows that differ in one
node: one emits an event for each of its items, the other counts them. `next_user` goes from the apply to the first node
of somebody else's execution, while at least ten thousand children of one parent wait and get their resources;
`next_user_unshown` is the same while they get none, and `next_user_idle` while there are none. All clocks are this
machine's.
"""

from __future__ import annotations

import asyncio
import sys
import time
import uuid
from dataclasses import dataclass
from typing import Any, LiteralString

import psycopg

from bench.cluster import EXECUTIONS, STEPS, BenchCluster, bench_cluster
from bench.results import Figure, arguments, report
from bench.start import first_nodes
from chaingraph_store import ids
from chaingraph_store.children import spawning

EMITTING: dict[str, Any] = {
    "inputs": [{"name": "items", "type": "array", "default": []}],
    "outputs": [{"name": "got", "from": "item.payload"}],
    "nodes": [
        {"id": "each", "type": "EmitEach", "inputs": {"eventName": "item"}},
        {"id": "item", "type": "EventListener", "inputs": {"eventName": "item"}},
    ],
    "edges": [{"from": "inputs.items", "to": "each.items"}],
}
"""Spawns a child for each of its items; a child takes one and ends."""
CHILDLESS: dict[str, Any] = {
    **EMITTING,
    "nodes": [{"id": "each", "type": "Length"}, EMITTING["nodes"][1]],
    "edges": [{"from": "inputs.items", "to": "each.value"}],
}
CHILDREN = 1000
WAITING = 10_000
_SPARE = 2500
"""Children beside those that are to wait: the worker runs so many in the meantime, and a few more."""
_PARENT = """
SELECT phase, extract(epoch FROM finished_at)::float8, children_spawned FROM chaingraph.executions WHERE id = %s
"""
_WAITING = """
SELECT count(*) FROM chaingraph.executions WHERE root_id = %s AND parent_id IS NOT NULL AND phase = 'Pending'
"""
_ACTIVE = """
SELECT count(*) FROM chaingraph.executions WHERE root_id = %s AND phase NOT IN ('Completed', 'Failed', 'Stopped')
"""
_ENQUEUE = """
SELECT count(dbos.enqueue_workflow(workflow_name => 'nothing', queue_name => 'nobody', workflow_id => id,
  positional_args => ARRAY[to_json(id), to_json(1)], priority => 1000, application_name => 'nobody'))
FROM unnest(%s::text[]) AS made (id)
"""


def _progress(said: str, *, end: str = "") -> None:
    """Of a moment on a terminal alone; with an `end`, to stay."""
    if end or sys.stderr.isatty():
        print(f"\r\033[K{said}" if sys.stderr.isatty() else said, end=end, flush=True, file=sys.stderr)


@dataclass(frozen=True)
class Family:
    """Milliseconds from the apply to the end without and with children, a child, and a bare enqueue."""

    childless: float
    parent: float
    child: float
    raw: float


class Bench:
    """One run: the cluster and a connection to its ledger. Names are given once."""

    def __init__(self, cluster: BenchCluster, ledger: psycopg.AsyncConnection[Any]) -> None:
        self._cluster = cluster
        self._ledger = ledger

    async def _apply(self, name: str, flow: str, items: int, *, resources: str = "Create") -> tuple[float, str]:
        """When it was sent, in seconds since the epoch, and the execution's id."""
        spec = {
            "flowRef": {"name": flow},
            "inputs": {"items": list(range(items))},
            "children": {"resources": resources},
        }
        began = time.time()
        made = await self._cluster.create_execution(name, spec)
        return began, ids.execution_id(made["metadata"]["uid"])

    async def _count(self, query: LiteralString, execution: str) -> int:
        row = await (await self._ledger.execute(query, (execution,))).fetchone()
        return int(row[0]) if row else 0

    async def _completed(self, execution: str) -> float:
        """When it ended, in seconds since the epoch."""
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            row = await (await self._ledger.execute(_PARENT, (execution,))).fetchone()
            if row is not None and row[0] == "Completed":
                return float(row[1])
            if row is not None and row[0] in ("Failed", "Stopped"):
                raise SystemExit(f"bench: {execution} is {row[0]}")
            await asyncio.sleep(0.005)
        raise SystemExit(f"bench: {execution} has not completed within a minute; look at {EXECUTIONS}")

    async def _spawned(self, execution: str, count: int) -> float:
        """When all of its children were there, in seconds since the epoch."""
        deadline = time.monotonic() + 180
        while time.monotonic() < deadline:
            row: Any = await (await self._ledger.execute(_PARENT, (execution,))).fetchone()
            if row[2] == count:
                return time.time()
            _progress(f"{row[2]}/{count} spawned")
            await asyncio.sleep(0.01)
        raise SystemExit(f"bench: {execution} has not spawned its {count} children within three minutes")

    async def _remove(self, name: str, execution: str) -> None:
        """Deletes a parent; returns once nothing of its tree is active."""
        (await self._cluster.api.delete(f"{EXECUTIONS}/{name}")).raise_for_status()
        while left := await self._count(_ACTIVE, execution):
            _progress(f"{left} children are still to be stopped")
            await asyncio.sleep(0.1)
        # Its operator has still to hear of each of them.
        await asyncio.sleep(1)

    async def family(self, number: int) -> Family:
        """A parent with its children, after the flow that emits nothing."""
        began, execution = await self._apply(f"childless-{number}", "childless", CHILDREN)
        childless = await self._completed(execution) - began
        await self._remove(f"childless-{number}", execution)
        began, execution = await self._apply(f"parent-{number}", "emitting", CHILDREN)
        ended = await self._completed(execution)
        spawned = await self._spawned(execution, CHILDREN)
        raw = await self._raw_enqueue()
        await self._remove(f"parent-{number}", execution)
        return Family(childless * 1000, (ended - began) * 1000, (spawned - ended) * 1000 / CHILDREN, raw)

    async def families(self, count: int) -> list[Family]:
        found = []
        for number in range(count):
            found.append(each := await self.family(number))
            _progress(
                f"parent {number + 1} of {count}: {each.parent:.0f} ms to its end, {each.child:.2f} ms a child, "
                f"{each.raw:.2f} ms a bare enqueue; {each.childless:.0f} ms without children",
                end="\n",
            )
        return found

    async def _raw_enqueue(self) -> float:
        began = time.perf_counter()
        for _ in range(0, CHILDREN, spawning.BATCH):
            workflows = [f"raw-{uuid.uuid4().hex}" for _ in range(spawning.BATCH)]
            async with self._ledger.transaction():
                await self._ledger.execute(_ENQUEUE, (workflows,))
        took = time.perf_counter() - began
        await self._ledger.execute("DELETE FROM dbos.workflow_status WHERE queue_name = 'nobody'")
        return took * 1000 / CHILDREN

    async def next_users(self, count: int, *, resources: str) -> list[float]:
        """Milliseconds to the first node of others, while children wait."""
        wide = f"wide-{resources.lower()}"
        _, execution = await self._apply(wide, "emitting", WAITING + _SPARE, resources=resources)
        await self._completed(execution)
        await self._spawned(execution, WAITING + _SPARE)
        before = await self._count(_WAITING, execution)
        starts, _ = await first_nodes(self._cluster, count, prefix=f"beside-{wide}")
        after = await self._count(_WAITING, execution)
        _progress(f"{before} children waited before the others came, {after} after them", end="\n")
        if after < WAITING:
            raise SystemExit(f"bench: only {after} children waited in the end, not {WAITING}: raise _SPARE")
        await self._remove(wide, execution)
        return starts


async def main() -> None:
    parser = arguments(__doc__ or "")
    parser.add_argument("--parents", type=int, default=10, help=f"with {CHILDREN} children each (default 10)")
    parser.add_argument("--users", type=int, default=30, help="others who come, in each case (default 30)")
    options = parser.parse_args()
    async with (
        bench_cluster(workers=1, CHAINGRAPH_MAX_CHILDREN=str(WAITING + _SPARE)) as cluster,
        await psycopg.AsyncConnection.connect(cluster.database_url, autocommit=True) as ledger,
    ):
        for name, spec in {"emitting": EMITTING, "childless": CHILDLESS, "steps": STEPS}.items():
            await cluster.apply_flow(name, spec)
        await cluster.create_execution("warm", {"flowRef": {"name": "steps"}, "inputs": {"n": 1}})
        await asyncio.sleep(2)
        bench = Bench(cluster, ledger)
        idle, _ = await first_nodes(cluster, options.users, prefix="idle")
        families = await bench.families(options.parents)
        unshown = await bench.next_users(options.users, resources="None")
        shown = await bench.next_users(options.users, resources="Create")
    report(
        [
            Figure.of("child_spawn", "ms a child", [each.child for each in families]),
            Figure.of("raw_enqueue", "ms each", [each.raw for each in families]),
            Figure.of("parent_completed", "ms", [each.parent for each in families]),
            Figure.of("childless_completed", "ms", [each.childless for each in families]),
            Figure.of("next_user", "ms", shown),
            Figure.of("next_user_unshown", "ms", unshown),
            Figure.of("next_user_idle", "ms", idle),
        ],
        options.output,
    )


if __name__ == "__main__":
    asyncio.run(main())
