"""The roles of the database that the installation page makes: enough for every process, and for nothing more."""

from __future__ import annotations

import json
from collections.abc import Iterator
from urllib.parse import urlsplit

import psycopg
import pytest
from psycopg import sql

from fixtures.cluster.control_plane import ControlPlane, Kubectl
from fixtures.docs.pages import blocks
from fixtures.ledger.database import PostgresServer, migrate
from fixtures.paths import ROOT
from fixtures.processes.forked import RunProgram
from fixtures.processes.gateway import LOG_READER, READER, People, RunGateway
from fixtures.processes.programs import RunOperator, RunWorker
from fixtures.processes.system import System

pytestmark = pytest.mark.integration

PARENT = {
    "apiVersion": "chaingraph.dev/v1alpha1",
    "kind": "Execution",
    "metadata": {"name": "parent"},
    "spec": {
        "flow": {
            "nodes": [
                {"id": "tell", "type": "EmitEach", "inputs": {"eventName": "part", "items": [1, 2, 3]}},
                {"id": "part", "type": "EventListener", "inputs": {"eventName": "part", "schema": "number"}},
                {"id": "twice", "type": "Math", "inputs": {"operation": "multiply", "b": 2}},
            ],
            "edges": [{"from": "part.payload", "to": "twice.a"}],
        }
    },
}
_PAGE = ROOT / "docs" / "how-to" / "install-with-helm.md"


@pytest.fixture(scope="module")
def roles(postgres_server: PostgresServer) -> Iterator[dict[str, str]]:
    """The page's SQL, run as it stands; connection strings by role."""
    [block] = [each for each in blocks(_PAGE) if each.language == "sql"]
    before, _, after = block.text.partition("\\connect chaingraph\n")
    assert after
    for database, script in (("postgres", before), ("chaingraph", after)):
        with psycopg.connect(postgres_server.url(database), autocommit=True) as connection:
            for statement in filter(str.strip, script.split(";\n")):
                connection.execute(statement.encode())
    place = urlsplit(postgres_server.url("chaingraph"))
    address = place.netloc.rpartition("@")[2]
    query = f"?{place.query}" if place.query else ""
    passwords = {"chaingraph_owner": "change-1", "chaingraph_app": "change-2", "chaingraph_reader": "change-3"}
    yield {role: f"postgresql://{role}:{password}@{address}/chaingraph{query}" for role, password in passwords.items()}
    postgres_server.execute(sql.SQL("DROP DATABASE chaingraph WITH (FORCE)"))
    postgres_server.execute(sql.SQL("DROP ROLE chaingraph_app, chaingraph_owner, chaingraph_reader"))


@pytest.fixture(scope="module")
def migrated(roles: dict[str, str]) -> dict[str, str]:
    """The same, after the migration by the owner; twice, as an upgrade does."""
    for _ in range(2):
        migrate(roles["chaingraph_owner"])
    return roles


async def test_processes_work_with_their_database_role(
    crds: None,
    migrated: dict[str, str],
    run_worker: RunWorker,
    run_operator: RunOperator,
    run_gateway: RunGateway,
    people: People,
    namespace: str,
    control_plane: ControlPlane,
    kubectl: Kubectl,
) -> None:
    worker = run_worker(DATABASE_URL_EXECUTIONS=migrated["chaingraph_app"])
    operator = run_operator(DATABASE_URL_EXECUTIONS=migrated["chaingraph_app"])
    gateway = run_gateway(DATABASE_URL_EXECUTIONS=migrated["chaingraph_reader"])
    worker.wait_ready()
    gateway.wait_ready()
    system = System(namespace, control_plane.kubeconfig, kubectl)
    system.kubectl("apply", "-f", str(ROOT / "examples" / "01-hello.yaml"))
    system.kubectl("apply", "-f", "-", input=json.dumps(PARENT))
    system.kubectl("wait", "--for=condition=Succeeded", "execution/hello", "--timeout=60s")
    system.kubectl("wait", "--for=condition=TreeSucceeded", "execution/parent", "--timeout=60s")
    person = people.service_account("reader", READER, LOG_READER)
    events = await gateway.all(f"/namespaces/{namespace}/executions/hello/events", person)
    assert events[-1].event == "end"
    system.kubectl("delete", "executions", "--all")
    for process in (worker, operator, gateway):
        assert "permission denied" not in process.log
        assert process.terminate() == 0, process.log


@pytest.mark.parametrize(
    ("role", "statement"),
    [
        ("chaingraph_app", "CREATE TABLE chaingraph.mine ()"),
        ("chaingraph_app", "CREATE TABLE public.mine ()"),
        ("chaingraph_app", "CREATE SCHEMA mine"),
        ("chaingraph_app", "ALTER TABLE chaingraph.executions ADD COLUMN mine text"),
        ("chaingraph_app", "DROP TABLE dbos.workflow_status"),
        ("chaingraph_app", "TRUNCATE chaingraph.executions"),
        ("chaingraph_reader", "DELETE FROM chaingraph.executions"),
        ("chaingraph_reader", "INSERT INTO chaingraph.flow_revisions (revision, spec) VALUES ('r', '{}')"),
        ("chaingraph_reader", "UPDATE chaingraph.workers SET pod = 'mine'"),
        ("chaingraph_reader", "CREATE TABLE public.mine ()"),
        ("chaingraph_owner", "CREATE ROLE mine"),
    ],
)
def test_database_roles_have_no_other_rights(migrated: dict[str, str], role: str, statement: str) -> None:
    with (
        psycopg.connect(migrated[role], autocommit=True) as connection,
        pytest.raises(psycopg.errors.InsufficientPrivilege),
    ):
        connection.execute(statement.encode())


def test_migration_waits_for_server_then_reports_failure(run_program: RunProgram) -> None:
    nobody = {"DATABASE_URL_EXECUTIONS": "postgresql://a@127.0.0.1:1/x", "CHAINGRAPH_MIGRATE_WAIT_SECONDS": "2"}
    done = run_program("chaingraph_worker.migrate", **nobody)
    assert done.returncode == 1
    assert done.stderr.count("waiting for PostgreSQL") >= 1
    assert "PostgreSQL at DATABASE_URL_EXECUTIONS does not answer" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("value", ["soon", "-1", "nan"])
def test_migration_rejects_wrong_wait_time(run_program: RunProgram, value: str) -> None:
    settings = {"DATABASE_URL_EXECUTIONS": "postgresql:///x", "CHAINGRAPH_MIGRATE_WAIT_SECONDS": value}
    done = run_program("chaingraph_worker.migrate", **settings)
    assert done.returncode == 1
    assert f"CHAINGRAPH_MIGRATE_WAIT_SECONDS is {value!r}. Set a number of seconds from 0 to 86400" in done.stderr
