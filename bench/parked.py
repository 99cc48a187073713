"""Executions a second with two hundred others paused, beside the same without them.

The paused ones stop at a breakpoint of their own and are left to park. A place in a worker that one of them kept would
show as a loss: the worker has twenty.
"""

from __future__ import annotations

import asyncio
import sys

from bench.cluster import EXECUTIONS, STEPS, BenchCluster, bench_cluster
from bench.results import Figure, arguments, report
from bench.throughput import through_the_api

_PAUSED = 200


async def pause_many(cluster: BenchCluster) -> None:
    """Makes the paused ones; returns when none of them keeps a worker."""
    spec = {"flowRef": {"name": "steps"}, "inputs": {"n": 1}, "options": {"breakpoints": ["tell"]}}
    for number in range(_PAUSED):
        await cluster.create_execution(f"paused-{number}", spec)
    while (parked := await _parked(cluster)) < _PAUSED:
        print(f"\r{parked}/{_PAUSED} parked", end="", flush=True, file=sys.stderr)
        await asyncio.sleep(0.5)
    print(file=sys.stderr)


async def _parked(cluster: BenchCluster) -> int:
    answer = await cluster.api.get(EXECUTIONS, params={"fieldSelector": "status.phase=Paused"})
    answer.raise_for_status()
    return sum("worker" not in each["status"] for each in answer.json()["items"] or ())


async def main() -> None:
    parser = arguments(__doc__ or "")
    parser.add_argument("--count", type=int, default=300, help="executions of each turn (default 300)")
    options = parser.parse_args()
    alone, beside = [], []
    async with bench_cluster(workers=1, DBOS_WORKER_CONCURRENCY="20") as cluster:
        await cluster.apply_flow("steps", STEPS)
        await through_the_api(cluster, 50)
        for _ in range(2):
            alone.append(await through_the_api(cluster, options.count))
        await pause_many(cluster)
        for _ in range(2):
            beside.append(await through_the_api(cluster, options.count))
    report(
        [
            Figure.of("executions_alone", "1/s", alone),
            Figure.of("executions_beside_200_paused", "1/s", beside),
            Figure.of("ratio", "", [sum(beside) / sum(alone)]),
        ],
        options.output,
    )


if __name__ == "__main__":
    asyncio.run(main())
