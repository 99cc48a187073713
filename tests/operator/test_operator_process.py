"""The process: its start, its end, its environment, and PostgreSQL away."""

from __future__ import annotations

import json

import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from fixtures.cluster.view import Cluster
from fixtures.ledger.database import PostgresServer, migrate
from fixtures.ledger.worker_by_hand import StartWorker
from fixtures.processes.forked import RunProgram
from fixtures.processes.programs import RunOperator
from fixtures.waiting import eventually

pytestmark = pytest.mark.integration

RECONCILED = 'chaingraph_operator_reconciles_total{kind="Execution",result="success"}'
INLINE = {"flow": {"nodes": [{"id": "a", "type": "Text"}]}}


async def test_sigterm_ends_the_operator_quickly_with_exit_zero(cluster: Cluster, run_operator: RunOperator) -> None:
    operator = run_operator()
    assert operator.get("/healthz").status_code == 200
    assert operator.terminate() == 0
    assert "components did not stop in time" not in operator.log


async def test_operator_writes_pending_statuses_before_it_exits(
    cluster: Cluster, run_operator: RunOperator, start_worker: StartWorker
) -> None:
    await start_worker()
    operator = run_operator()
    cluster.apply("Execution", "waits", INLINE)

    async def reconciled() -> bool:
        figures = operator.get("/metrics").text.splitlines()
        return any(each.startswith(RECONCILED) and float(each.split()[-1]) >= 1 for each in figures)

    await eventually(reconciled, what="a reconcile, after which the status waits for its second")
    assert operator.terminate() == 0
    await cluster.condition("Execution", "waits", "Succeeded", reason="Queued", within=2)


async def test_operator_serves_metrics(cluster: Cluster, run_operator: RunOperator, start_worker: StartWorker) -> None:
    await start_worker()
    operator = run_operator()
    cluster.apply("Execution", "counted", INLINE)
    await cluster.condition("Execution", "counted", "Succeeded", reason="Queued")
    operator.wait_figure(
        'chaingraph_operator_api_requests_total{resource="executions/status",result="success",verb="patch"} 1.0'
    )
    operator.wait_figure('chaingraph_operator_executions{phase="Pending"} 1.0')
    assert "chaingraph_operator_ledger_up{" in operator.get("/metrics").text


async def test_operator_waits_out_a_postgresql_outage_without_loss(
    cluster: Cluster,
    run_operator: RunOperator,
    start_worker: StartWorker,
    postgres_server: PostgresServer,
    database_url: str,
) -> None:
    await start_worker()
    operator = run_operator()
    database = sql.Identifier(str(conninfo_to_dict(database_url)["dbname"]))
    postgres_server.execute(sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS false").format(database))
    postgres_server.end_connections(database_url)
    cluster.apply("Execution", "patient", INLINE)

    async def unready() -> bool:
        return "PostgreSQL is unavailable" in operator.get("/readyz").text

    await eventually(unready, within=30, what="unready")
    late = run_operator(ready=False)
    assert "PostgreSQL" in late.get("/readyz").text
    assert late.terminate() == 0
    postgres_server.execute(sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS true").format(database))
    operator.wait_ready()
    await cluster.condition("Execution", "patient", "Succeeded", reason="Queued", within=30)
    assert operator.process.poll() is None


async def test_operator_waits_for_the_migration_and_says_so(run_operator: RunOperator, empty_database_url: str) -> None:
    operator = run_operator(ready=False, DATABASE_URL_EXECUTIONS=empty_database_url)

    async def says_so() -> bool:
        return "`chaingraph-worker migrate`" in operator.log

    await eventually(says_so, within=60, what="a hint")
    assert operator.get("/readyz").status_code == 503
    migrate(empty_database_url)
    operator.wait_ready()


@pytest.mark.parametrize(
    ("variable", "value", "hint"),
    [
        ("DATABASE_URL_EXECUTIONS", "mysql://host", "postgresql://user:password@host:5432/database"),
        ("CHAINGRAPH_NAMESPACES", "team-a, Team_B", "'Team_B' is not a namespace name"),
        ("CHAINGRAPH_RECONCILE_WORKERS", "0", "from 1 to 64"),
        ("CHAINGRAPH_SWEEP_SECONDS", "soon", "1 or more"),
        ("CHAINGRAPH_LEDGER_RETENTION_DAYS", "-1", "0 or empty to keep it forever"),
        ("LOG_LEVEL", "loud", "Log level: debug, info, warning or error"),
        ("CHAINGRAPH_WORKER_NAMESPACE", "Shops", "not a namespace name"),
    ],
)
def test_invalid_setting_is_named_with_a_hint(run_program: RunProgram, variable: str, value: str, hint: str) -> None:
    environment = {"DATABASE_URL_EXECUTIONS": "postgresql://host/database", variable: value}
    done = run_program("chaingraph_operator.main", **environment)
    assert done.returncode == 2
    said = json.loads(done.stderr)["message"]
    assert said.startswith(variable)
    assert value in said
    assert hint in said
