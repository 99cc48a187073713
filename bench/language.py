"""Calls, waits and signals: what an item of a ForEach costs, how late executions continue while ten thousand others are
asleep, what those cost the others, and how soon a signal resumes an execution.

`foreach_inline_item` is the time of an execution that runs a subflow of three pure nodes for each of so many items,
divided by their number. `call_child` is the time of an execution that calls a subflow as a child, without that of the
child from its creation to its end. `signal_to_resumed_running` and `_parked` are the times from the patch of
`spec.signals` to the end of the node that waits for it, on a worker that has the execution, and of an execution without
one.
`wakeup_lateness` is the time from the end of a wait to the end of its node, in milliseconds, by the clock of this
machine. `ratio_beside_sleepers` compares executions a second with and without the sleepers.
"""

from __future__ import annotations

import asyncio
import sys
import time
from typing import Any

import psycopg

from bench.cluster import EXECUTIONS, STEPS, BenchCluster, bench_cluster, sleeps
from bench.results import Figure, arguments, report
from bench.throughput import through_the_api

_WAKES = 400
_SLEEPERS = """
INSERT INTO chaingraph.executions (id, namespace, name, flow_name, flow_revision, queue, root_id, phase, workflow_id,
                                   parked, asleep_at, wake_at)
SELECT 'x' || n, 'default', 'sleeper-' || n, flow_name, flow_revision, queue, 'x' || n, 'Running', 'x' || n,
       true, now(), now() + make_interval(days => 1, secs => n)
FROM (SELECT * FROM chaingraph.executions LIMIT 1) e CROSS JOIN generate_series(1, %s) AS n
"""
_LATE = """
SELECT (extract(epoch FROM ended.at) * 1000 - (waits.data ->> 'until')::bigint)::float8
FROM chaingraph.events waits JOIN chaingraph.events ended USING (execution_id)
WHERE waits.type = 'node:waiting' AND ended.type = 'node:completed' AND ended.data ->> 'nodeId' = 'nap'
"""


def nap(milliseconds: int) -> dict[str, Any]:
    node = {"id": "nap", "type": "Sleep", "inputs": {"milliseconds": milliseconds}}
    return {"flow": {"nodes": [node]}}


async def lateness(cluster: BenchCluster, ledger: psycopg.AsyncConnection[Any]) -> list[float]:
    """Milliseconds by which executions continued late: their times come spread over some seconds."""
    for number in range(_WAKES):
        await cluster.create_execution(f"nap-{number}", nap(12_000 + number * 7 % 3000))
    while len(late := [row[0] for row in await (await ledger.execute(_LATE)).fetchall()]) < _WAKES:
        print(f"\r{len(late)}/{_WAKES} awake", end="", flush=True, file=sys.stderr)
        await asyncio.sleep(0.5)
    print(file=sys.stderr)
    return late


_TAKEN = """
SELECT extract(epoch FROM v.at)::float8 FROM chaingraph.events v JOIN chaingraph.executions e ON e.id = v.execution_id
WHERE e.name = %s AND v.type = 'node:completed' AND v.data ->> 'nodeId' = 'paid'
"""
_WAITS = "SELECT 1 FROM chaingraph.executions WHERE name = %s AND nodes_waiting = 1 AND parked = %s"


async def first(ledger: psycopg.AsyncConnection[Any], query: str, *values: Any, within: float = 30) -> Any:
    """The first column of the query's row, once it has one."""
    deadline = time.monotonic() + within
    while time.monotonic() < deadline:
        row = await (await ledger.execute(query, values)).fetchone()
        if row is not None:
            return row[0]
        await asyncio.sleep(0.02)
    raise SystemExit(f"bench: not within {within:g} s: {query} {values}")


async def signals(
    cluster: BenchCluster, ledger: psycopg.AsyncConnection[Any], *, parked: bool, count: int = 40
) -> list[float]:
    """Milliseconds from a signal's patch to the end of its node."""
    waits = {"id": "paid", "type": "WaitForSignal"}
    beside = {"nodes": [], "edges": []} if parked else sleeps(20, 1900)
    flow = {"nodes": [waits, *beside["nodes"]], "edges": beside["edges"]}
    took = []
    for number in range(count):
        name = f"signal-{'parked' if parked else 'running'}-{number}"
        await cluster.create_execution(name, {"flow": flow})
        await first(ledger, _WAITS, name, parked)
        began = time.time()
        answer = await cluster.api.patch(
            f"{EXECUTIONS}/{name}",
            json={"spec": {"signals": [{"id": "1", "name": "paid", "payload": number}]}},
            headers={"Content-Type": "application/merge-patch+json"},
        )
        answer.raise_for_status()
        took.append((await first(ledger, _TAKEN, name) - began) * 1000)
        await cluster.api.delete(f"{EXECUTIONS}/{name}")
    return took


_CHAIN = {
    "name": "chain",
    "inputs": [{"name": "item", "type": "number"}],
    "outputs": [{"name": "value", "from": "c.result"}],
    "nodes": [{"id": id_, "type": "Math", "inputs": {"b": 1}} for id_ in "abc"],
    "edges": [
        {"from": "inputs.item", "to": "a.a"},
        {"from": "a.result", "to": "b.a"},
        {"from": "b.result", "to": "c.a"},
    ],
}
_TOOK = """
SELECT (v.data ->> 'executionTime')::float8
FROM chaingraph.events v JOIN chaingraph.executions e ON e.id = v.execution_id
WHERE e.name = %s AND v.type = 'flow:completed'
"""


async def items(cluster: BenchCluster, ledger: psycopg.AsyncConnection[Any], count: int, rounds: int) -> list[float]:
    """Milliseconds an item."""
    each = {"id": "all", "type": "ForEach", "inputs": {"subflow": "chain", "items": list(range(count))}}
    took = []
    for number in range(rounds):
        name = f"items-{number}"
        await cluster.create_execution(name, {"flow": {"subflows": [_CHAIN], "nodes": [each]}})
        took.append(await first(ledger, _TOOK, name, within=300) / count)
    return took


_ADDED = """
SELECT (v.data ->> 'executionTime')::float8 - extract(epoch FROM c.finished_at - c.created_at)::float8 * 1000
FROM chaingraph.events v JOIN chaingraph.executions e ON e.id = v.execution_id
JOIN chaingraph.executions c ON c.parent_id = e.id
WHERE e.name = %s AND v.type = 'flow:completed'
"""


async def child_calls(cluster: BenchCluster, ledger: psycopg.AsyncConnection[Any], count: int = 60) -> list[float]:
    """Milliseconds that a call adds to its child."""
    call = {"id": "call", "type": "Call", "inputs": {"subflow": "chain", "run": "Child", "item": 1}}
    took = []
    for number in range(count):
        name = f"call-{number}"
        await cluster.create_execution(name, {"flow": {"subflows": [_CHAIN], "nodes": [call]}})
        took.append(await first(ledger, _ADDED, name))
    return took


async def main() -> None:
    parser = arguments(__doc__ or "")
    parser.add_argument("--sleepers", type=int, default=10_000, help="executions that are asleep (default 10000)")
    parser.add_argument("--items", type=int, default=10_000, help="items of a ForEach (default 10000)")
    options = parser.parse_args()
    alone, beside = [], []
    async with (
        bench_cluster(workers=2, DBOS_WORKER_CONCURRENCY="20") as cluster,
        await psycopg.AsyncConnection.connect(cluster.database_url, autocommit=True) as ledger,
    ):
        await cluster.apply_flow("steps", STEPS)
        await through_the_api(cluster, 100)
        for _ in range(2):
            alone.append(await through_the_api(cluster, 300))
        item = await items(cluster, ledger, options.items, 3)
        called = await child_calls(cluster, ledger)
        running = await signals(cluster, ledger, parked=False)
        parked = await signals(cluster, ledger, parked=True)
        await ledger.execute(_SLEEPERS, (options.sleepers,))
        for _ in range(2):
            beside.append(await through_the_api(cluster, 300))
        late = await lateness(cluster, ledger)
    report(
        [
            Figure.of("wakeup_lateness", "ms", late),
            Figure.of("call_child", "ms", called),
            Figure.of("signal_to_resumed_running", "ms", running),
            Figure.of("signal_to_resumed_parked", "ms", parked),
            Figure.of("foreach_inline_item", "ms", item),
            Figure.of("executions_alone", "1/s", alone),
            Figure.of("executions_beside_sleepers", "1/s", beside),
            Figure.of("ratio_beside_sleepers", "", [sum(beside) / sum(alone)]),
        ],
        options.output,
    )


if __name__ == "__main__":
    asyncio.run(main())
