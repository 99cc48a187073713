"""From the create of an Execution to its first node running, beside a bare create on the same API server.

The clock starts before the request is sent; the first node's `node:started` event says when it ran. Both clocks are
this machine's.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any

import psycopg

from bench.cluster import EXECUTIONS, STEPS, BenchCluster, bench_cluster
from bench.results import Figure, arguments, report
from chaingraph_store.ids import execution_id

_FIRST_NODE = """
SELECT extract(epoch FROM min(at)) FROM chaingraph.events WHERE execution_id = %s AND type = 'node:started'
"""


async def first_nodes(cluster: BenchCluster, count: int, *, prefix: str = "start") -> tuple[list[float], list[float]]:
    """Milliseconds to the first node, and milliseconds of the create request itself, for each execution.

    Args:
        prefix: of their names, which may be used once.
    """
    created: list[tuple[float, float, str]] = []
    for number in range(count):
        began = time.time()
        made = await cluster.create_execution(f"{prefix}-{number}", {"flowRef": {"name": "steps"}, "inputs": {"n": 1}})
        created.append((began, time.time(), execution_id(made["metadata"]["uid"])))
        await asyncio.sleep(0.2)
    async with await psycopg.AsyncConnection.connect(cluster.database_url, autocommit=True) as connection:
        starts = [(await _started(connection, execution) - began) * 1000 for began, _, execution in created]
    return starts, [(answered - began) * 1000 for began, answered, _ in created]


async def _started(connection: psycopg.AsyncConnection[Any], execution: str) -> float:
    """When its first node ran, in seconds since the epoch."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        row: Any = await (await connection.execute(_FIRST_NODE, (execution,))).fetchone()
        if row[0] is not None:
            return float(row[0])
        await asyncio.sleep(0.05)
    raise SystemExit(f"bench: {execution} has not started within 30 s; look at {EXECUTIONS}")


async def main() -> None:
    parser = arguments(__doc__ or "")
    parser.add_argument("--count", type=int, default=200, help="executions (default 200)")
    options = parser.parse_args()
    async with bench_cluster(workers=1) as cluster:
        await cluster.apply_flow("steps", STEPS)
        await cluster.create_execution("warm", {"flowRef": {"name": "steps"}, "inputs": {"n": 1}})
        await asyncio.sleep(2)
        starts, creates = await first_nodes(cluster, options.count)
    report(
        [
            Figure.of("apply_to_first_node", "ms", starts),
            Figure.of("raw_create", "ms", creates),
            Figure.of("apply_to_first_node / raw_create", "", [a / b for a, b in zip(starts, creates, strict=True)]),
        ],
        options.output,
    )


if __name__ == "__main__":
    asyncio.run(main())
