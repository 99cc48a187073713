"""Executions a second through the API, with one operator and one worker, beside plain DBOS in the same run.

The bar: as many as plain DBOS with the reference's three steps and three stream writes, on the same PostgreSQL.
"""

from __future__ import annotations

import asyncio
import sys
import time

import psycopg
from psycopg import sql

from bench.cluster import STEPS, BenchCluster, bench_cluster
from bench.results import Figure, arguments, report

AT_ONCE = 12
"""Creates in flight: enough to keep the API server busy, few enough to leave it room for status patches."""


async def through_the_api(cluster: BenchCluster, count: int) -> float:
    """Executions a second, from the first create to the moment the API server shows the last as Completed."""
    before = await cluster.completed()
    slots = asyncio.Semaphore(AT_ONCE)

    async def create(number: int) -> None:
        async with slots:
            await cluster.create_execution(f"run-{before}-{number}", {"flowRef": {"name": "steps"}, "inputs": {"n": 1}})

    began = time.monotonic()
    await asyncio.gather(*(create(number) for number in range(count)))
    created = time.monotonic()
    while (done := await cluster.completed() - before) < count:
        print(f"\r{done}/{count} completed", end="", flush=True, file=sys.stderr)
        await asyncio.sleep(0.5)
    took = time.monotonic() - began
    print(f"\r{count} created in {created - began:.1f} s, completed in {took:.1f} s", file=sys.stderr)
    return count / took


async def plain_dbos(database_url: str, count: int) -> float:
    """Workflows a second of DBOS alone, in a database of its own on the same server."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier("plain_dbos")))
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "bench.plain_dbos",
        f"--url={database_url.rsplit('/', 1)[0]}/plain_dbos",
        f"--count={count}",
        stdout=asyncio.subprocess.PIPE,
    )
    out, _ = await process.communicate()
    if process.returncode:
        raise SystemExit("bench: plain DBOS failed; its output is above")
    took = float(out.decode().split()[-1])
    print(f"plain DBOS: {count} in {took:.1f} s", file=sys.stderr)
    return count / took


async def main() -> None:
    parser = arguments(__doc__ or "")
    parser.add_argument("--count", type=int, default=600, help="executions (default 600)")
    options = parser.parse_args()
    async with bench_cluster(workers=1, DBOS_WORKER_CONCURRENCY="20") as cluster:
        await cluster.apply_flow("steps", STEPS)
        await through_the_api(cluster, 50)
        ours = await through_the_api(cluster, options.count)
        plain = await plain_dbos(cluster.database_url, options.count)
    report(
        [
            Figure.of("executions_through_the_api", "1/s", [ours]),
            Figure.of("plain_dbos", "1/s", [plain]),
            Figure.of("ratio", "", [ours / plain]),
        ],
        options.output,
    )


if __name__ == "__main__":
    asyncio.run(main())
