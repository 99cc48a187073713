"""What one tenant's hostile flows cost another tenant, and what runners cost everybody.

neighbour_delay: how much longer a trivial execution of another namespace takes, from its creation to Completed, while
hostile ones keep coming (bar: p99 5,000 ms); one figure an attack. kill_to_neighbour: from the end of a hostile node's
runner to the next end of a node of a neighbour that runs (bar: p99 2,000 ms). runner_cost: processor time of the
worker an execution, beside the same without the way through a runner (bar: 1.15).
"""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
import time
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import orjson
import psycopg

from bench.attacks import BUILT_IN, INSTALLED, TRIVIAL
from bench.cluster import STEPS, BenchCluster, bench_cluster, executions_of
from bench.results import Figure, arguments, report
from bench.runner_cost import border_ms, cpu_seconds
from bench.throughput import through_the_api

HOSTILE: Final = "team-a"
HONEST: Final = "team-b"
_HOSTILE_AT_ONCE: Final = 8
"""More than a worker has places."""
_LONG: Final = {
    "nodes": [{"id": f"s{n}", "type": "Sleep", "inputs": {"milliseconds": 100}} for n in range(400)],
    "edges": [{"from": f"s{n}.__success", "to": f"s{n + 1}.__execute"} for n in range(399)],
}
"""A neighbour that ends a node every tenth of a second."""


async def seconds_of(cluster: BenchCluster, name: str) -> float:
    """How long a trivial execution of the honest namespace takes."""
    began = time.monotonic()
    await cluster.create_execution(name, {"flow": TRIVIAL}, namespace=HONEST)
    while True:
        answer = await cluster.api.get(f"{executions_of(HONEST)}/{name}")
        if answer.json().get("status", {}).get("phase") == "Completed":
            return time.monotonic() - began
        await asyncio.sleep(0.005)


async def attacked_by(cluster: BenchCluster, name: str, flow: Mapping[str, Any], alone: float, count: int) -> Figure:
    """The delays of trivial executions while executions of this flow keep coming."""
    over = asyncio.Event()

    async def attack() -> None:
        number = 0
        while not over.is_set():
            answer = await cluster.api.get(executions_of(HOSTILE), params={"limit": "500"})
            going = sum(
                each.get("status", {}).get("phase") not in ("Completed", "Failed", "Stopped")
                for each in answer.json()["items"] or ()
            )
            for _ in range(_HOSTILE_AT_ONCE - going):
                number += 1
                await cluster.create_execution(f"{name}-{number}", {"flow": flow}, namespace=HOSTILE)
            await asyncio.sleep(0.2)

    attacking = asyncio.create_task(attack())
    await asyncio.sleep(2)
    delays = []
    for number in range(count):
        delays.append(1000 * max(0.0, await seconds_of(cluster, f"{name}-{number}") - alone))
        print(f"\r{name}: {number + 1}/{count}, the last one {delays[-1]:.0f} ms late", end="", file=sys.stderr)
        await asyncio.sleep(0.3)
    print(file=sys.stderr)
    over.set()
    await attacking
    await cluster.api.delete(executions_of(HOSTILE))
    return Figure.of(f"neighbour_delay_{name}", "ms", delays)


async def kills_to_neighbour(cluster: BenchCluster, count: int) -> Figure:
    """How long a neighbour that runs took to its next node, after each end of a runner."""
    await cluster.create_execution("long", {"flow": _LONG}, namespace=HONEST)
    for number in range(count):
        await cluster.create_execution(f"kill-{number}", {"flow": INSTALLED["segfault"]}, namespace=HOSTILE)
        await asyncio.sleep(0.2)
    async with await psycopg.AsyncConnection.connect(cluster.database_url) as connection:
        cursor = await connection.execute(
            "SELECT e.at FROM chaingraph.events e JOIN chaingraph.executions x ON x.id = e.execution_id"
            " WHERE x.namespace = %s AND x.name = 'long' AND e.type = 'node:completed' ORDER BY e.at",
            (HONEST,),
        )
        ends = [row[0].timestamp() for row in await cursor.fetchall()]
    kills = [
        datetime.fromisoformat(line["time"]).timestamp()
        for log in cluster.logs.glob("worker*.log")
        for line in map(orjson.loads, log.read_bytes().splitlines())
        if line.get("message") == "runner lost"
    ]
    # Those of the attacks before came when the neighbour did not run yet.
    waits = [1000 * (min(end for end in ends if end > kill) - kill) for kill in kills if ends[0] < kill < ends[-1]]
    return Figure.of("kill_to_neighbour", "ms", waits)


async def cost(cluster: BenchCluster, count: int) -> list[Figure]:
    """The processor time of the worker an execution, and how much more that is than without runners."""
    await cluster.apply_flow("steps", STEPS)
    await through_the_api(cluster, 50)
    pids = _workers(cluster.database_url)
    before = cpu_seconds(pids)
    await through_the_api(cluster, count)
    whole = (cpu_seconds(pids) - before) / count * 1000
    border = await border_ms(count)
    return [
        Figure.of("worker_cpu", "ms", [whole]),
        Figure.of("border_cpu", "ms", [border]),
        Figure.of("runner_cost", "", [whole / (whole - border)]),
    ]


def _workers(database_url: str) -> set[int]:
    """The processes of this cluster's worker, its runners among them."""
    mark = f"DATABASE_URL_EXECUTIONS={database_url}".encode()
    found = set()
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if b"worker" in (folder / "cmdline").read_bytes() and mark in (folder / "environ").read_bytes():
                found.add(int(folder.name))
        except OSError:
            continue
    return found


async def main() -> None:
    parser = arguments(__doc__ or "")
    parser.add_argument("--count", type=int, default=60, help="trivial executions beside each attack (default 60)")
    parser.add_argument("--attacks", help="names of attacks, separated by commas (default: all)")
    options = parser.parse_args()
    attacks = {**BUILT_IN, **INSTALLED}
    chosen = options.attacks.split(",") if options.attacks else list(attacks)
    sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
    from fixtures.flows import hostile

    with tempfile.TemporaryDirectory(prefix="chaingraph-bench-nodes-") as folder:
        nodes = hostile.install(Path(folder))
        async with bench_cluster(workers=1, PYTHONPATH=os.fspath(nodes)) as cluster:
            figures = await cost(cluster, 300)
            for name in (HOSTILE, HONEST):
                body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
                (await cluster.api.post("/api/v1/namespaces", json=body)).raise_for_status()
            times = [await seconds_of(cluster, f"alone-{number}") for number in range(options.count)]
            figures.append(Figure.of("neighbour_alone", "ms", [1000 * each for each in times]))
            alone = sorted(times)[len(times) // 2]
            figures += [await attacked_by(cluster, each, attacks[each], alone, options.count) for each in chosen]
            figures.append(await kills_to_neighbour(cluster, options.count))
    report(figures, options.output)


if __name__ == "__main__":
    asyncio.run(main())
