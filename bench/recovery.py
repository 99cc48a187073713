"""From `kill -9` of a worker to the next node of each execution that it had, with no operator; also across restarts of
PostgreSQL.

Three workers with their default settings share one PostgreSQL. There is no API server and no operator. Each round kills
the worker that has work, and starts another one in its place; in a part of the rounds PostgreSQL is restarted too, at a
moment by chance within the next six seconds. The clock runs to the first event that another worker writes.
"""

from __future__ import annotations

import asyncio
import os
import random
import sys
import tempfile
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import psycopg

from bench.results import Figure, arguments, report
from chaingraph_cli.cluster import ports
from chaingraph_cli.cluster.programs import postgres
from chaingraph_cli.cluster.supervisor import Supervisor
from chaingraph_crds.flow import FlowSpec
from chaingraph_flow.revision import content, revision
from chaingraph_store.commands import creation
from chaingraph_store.commands.creation import NewExecution
from chaingraph_store.ids import execution_id
from chaingraph_store.ledger import Ledger
from chaingraph_worker.migrate import migrate

_APP = "chaingraph-executor"
_NODES = 400
_WORKERS = 3
_FLOW = FlowSpec.model_validate(
    {
        "nodes": [
            {"id": f"n{number}", "type": "Sleep", "inputs": {"milliseconds": 250}, "timeoutSeconds": 60}
            for number in range(_NODES)
        ],
        "edges": [{"from": f"n{n}.__success", "to": f"n{n + 1}.__execute"} for n in range(_NODES - 1)],
    }
)
_RESTART_WITHIN: float = 6.0
_HAS_WORK = """
SELECT worker, array_agg(id), array_agg(owner_epoch) FROM chaingraph.executions
WHERE phase = 'Running' AND worker = ANY(%s) GROUP BY worker ORDER BY count(*) DESC, worker LIMIT 1
"""
_NEXT = """
SELECT extract(epoch FROM min(v.at))::float8
FROM chaingraph.events v JOIN chaingraph.executions e ON e.id = v.execution_id
WHERE e.id = %s AND e.owner_epoch > %s + 1 AND v.type = 'node:started' AND v.at > to_timestamp(%s)
"""


class Workers:
    """Worker processes, started by hand so that a killed one stays dead until another is started."""

    def __init__(self, url: str, folder: Path) -> None:
        self._url = url
        self._folder = folder
        self.running: dict[str, asyncio.subprocess.Process] = {}

    async def start(self) -> None:
        name = f"w-{uuid.uuid4().hex[:6]}"
        environment = os.environ | {
            "PYTHONSAFEPATH": "1",
            "DATABASE_URL_EXECUTIONS": self._url,
            "CHAINGRAPH_EXECUTOR_ID": name,
            "CHAINGRAPH_HEALTH_PORT": "0",
            # One worker has room for all: a wait for a free slot is no part of the figure.
            "DBOS_WORKER_CONCURRENCY": "30",
        }
        with (self._folder / f"{name}.log").open("wb") as log:
            self.running[name] = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "chaingraph_worker.main", env=environment, stdout=log, stderr=log
            )

    def name_of(self, executor: str) -> str:
        return executor.rpartition("-")[0]

    async def replace_ended(self) -> None:
        """Starts others for those that lost their lease in an outage."""
        for name in [name for name, process in self.running.items() if process.returncode is not None]:
            del self.running[name]
            await self.start()

    async def end(self) -> None:
        for process in self.running.values():
            if process.returncode is None:
                process.kill()
                await process.wait()


async def create(ledger: Ledger, number: int) -> None:
    uid = str(uuid.uuid4())
    new = NewExecution(
        id=execution_id(uid), uid=uid, namespace="bench", name=f"long-{number}", flow_name="long",
        flow_revision=revision(_FLOW), flow_spec=content(_FLOW), nodes_total=_NODES, inputs={}, events=[],
        integration={}, options={}, queue="chaingraph-executions", priority=0, start_timeout_seconds=300, held=False,
    )  # fmt: skip
    async with ledger.transaction() as connection:
        await creation.create(connection, new, application_name=_APP)


@asynccontextmanager
async def database(folder: Path) -> AsyncIterator[tuple[postgres.PostgresLayout, Supervisor]]:
    supervisor = Supervisor()
    port = ports.assign(["postgres"], {})["postgres"]
    layout = postgres.plan(folder, port=port, logs=folder / "logs")
    postgres.initialise(layout)
    try:
        await postgres.start(layout, supervisor)
        await postgres.create_database(layout)
        await asyncio.to_thread(migrate, layout.url())
        yield layout, supervisor
    finally:
        await supervisor.stop_all()


async def keep_running(ledger: Ledger, wanted: int, turn: int) -> None:
    """Creates executions in place of those that have ended."""
    async with ledger.connection() as connection:
        cursor = await connection.execute("SELECT count(*) FROM chaingraph.executions WHERE phase <> 'Completed'")
        row = await cursor.fetchone()
    for number in range(wanted - (row[0] if row else 0)):
        await create(ledger, wanted * (turn + 1) + number)


async def victim(ledger: Ledger, workers: Workers) -> tuple[str, list[tuple[str, int]]]:
    """A worker with work, and its executions with their owner epochs."""
    deadline = time.monotonic() + 180
    while time.monotonic() < deadline:
        await workers.replace_ended()
        async with ledger.connection() as connection:
            cursor = await connection.execute(
                "SELECT worker FROM chaingraph.executions WHERE phase = 'Running' AND worker <> ''"
            )
            names = sorted({row[0] for row in await cursor.fetchall() if workers.name_of(row[0]) in workers.running})
            cursor = await connection.execute(_HAS_WORK, (names,))
            row = await cursor.fetchone()
            # Another one has to be there to take over: how long a process takes to start is no part of the figure.
            cursor = await connection.execute("SELECT count(*) FROM chaingraph.workers WHERE expires_at > now()")
            alive = await cursor.fetchone()
            if row and alive and alive[0] >= _WORKERS:
                return row[0], list(zip(row[1], row[2], strict=True))
        await asyncio.sleep(0.2)
    raise SystemExit("bench: no worker takes anything")


async def next_nodes(ledger: Ledger, workers: Workers, lost: list[tuple[str, int]], killed: float) -> list[float]:
    """Milliseconds from the kill to the next node of each execution."""
    took: list[float] = []
    deadline = time.monotonic() + 120
    for execution, epoch in lost:
        at: Any = None
        while at is None:
            if time.monotonic() > deadline:
                raise SystemExit(f"bench: {execution} did not go on within 120 s")
            try:
                async with ledger.connection() as connection:
                    row = await (await connection.execute(_NEXT, (execution, epoch, killed))).fetchone()
                at = row[0] if row else None
            except (psycopg.Error, OSError):
                at = None
            except Exception as error:
                if type(error).__name__ != "PoolTimeout":
                    raise
            await workers.replace_ended()
            await asyncio.sleep(0.1)
        took.append((at - killed) * 1000)
    return took


async def restart(layout: postgres.PostgresLayout, supervisor: Supervisor, chance: random.Random) -> None:
    await asyncio.sleep(chance.uniform(0, _RESTART_WITHIN))
    await supervisor.stop("postgres")
    await postgres.start(layout, supervisor)


async def main() -> None:
    parser = arguments(__doc__ or "")
    parser.add_argument("--rounds", type=int, default=40, help="kills of each kind (default 40)")
    parser.add_argument("--executions", type=int, default=6, help="executions that run (default 6)")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    chance = random.Random(options.seed)
    plain: list[float] = []
    restarted: list[float] = []
    with tempfile.TemporaryDirectory(prefix="chaingraph-bench-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        os.chmod(folder, 0o755)  # noqa: PTH101 - a call of microseconds
        async with database(folder) as (layout, supervisor):
            ledger = Ledger(layout.url(), application_name="bench", pool_size=2)
            await ledger.open()
            workers = Workers(layout.url(), folder)
            try:
                for _ in range(_WORKERS):
                    await workers.start()
                for number in range(options.executions):
                    await create(ledger, number)
                for turn in range(options.rounds * 2):
                    await asyncio.sleep(chance.uniform(1, 3))
                    executor, lost = await victim(ledger, workers)
                    process = workers.running.pop(workers.name_of(executor))
                    killed = time.time()
                    process.kill()
                    await process.wait()
                    await workers.start()
                    outage = asyncio.create_task(restart(layout, supervisor, chance)) if turn % 2 else None
                    (restarted if turn % 2 else plain).extend(took := await next_nodes(ledger, workers, lost, killed))
                    if outage is not None:
                        await outage
                    print(f"{turn}: {[round(each) for each in took]}", flush=True)
                    await keep_running(ledger, options.executions, turn)
                    async with ledger.connection() as connection:
                        cursor = await connection.execute(
                            "SELECT count(*) FROM chaingraph.executions WHERE phase NOT IN ('Completed', 'Running',"
                            " 'Pending') OR recoveries > 4"
                        )
                        assert await cursor.fetchone() == (0,), "something was given up"
            finally:
                await workers.end()
                await ledger.close()
    report(
        [Figure.of("kill_to_next_node", "ms", plain), Figure.of("kill_to_next_node, restart", "ms", restarted)],
        options.output,
    )


if __name__ == "__main__":
    asyncio.run(main())
