"""Each kind of process has a database role with the rights that it needs, and no others."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlsplit

import psycopg
import pytest
from psycopg import sql

from chaingraph_store import roles
from chaingraph_store.ledger import Ledger
from fixtures.flows.chains import steps
from fixtures.ledger.database import PostgresServer, migrate
from fixtures.ledger.ledger import ended
from fixtures.ledger.new_executions import create_of
from fixtures.processes.programs import RunWorker

pytestmark = pytest.mark.integration
ROLES = (roles.OPERATOR, roles.WORKER, roles.GATEWAY)


@pytest.fixture
def urls(postgres_server: PostgresServer, database_url: str) -> Iterator[dict[str, str]]:
    """Connection strings by role, in a database that was migrated with the roles there."""
    for role in ROLES:
        postgres_server.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD 'p%'").format(sql.Identifier(role)))
    migrate(database_url)
    place = urlsplit(database_url)
    address = place.netloc.rpartition("@")[2]
    yield {role: place._replace(netloc=f"{role}:p%25@{address}").geturl() for role in ROLES}
    with psycopg.connect(database_url, autocommit=True) as connection:
        for role in ROLES:
            connection.execute(sql.SQL("DROP OWNED BY {}").format(sql.Identifier(role)))
    for role in ROLES:
        postgres_server.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(role)))


def may(url: str, statement: str) -> bool:
    with psycopg.connect(url) as connection:
        try:
            connection.execute(statement.encode())
        except psycopg.errors.InsufficientPrivilege:
            return False
        finally:
            connection.rollback()
        return True


async def test_worker_runs_with_its_role_alone(urls: dict[str, str], ledger: Ledger, run_worker: RunWorker) -> None:
    worker = run_worker(DATABASE_URL_EXECUTIONS=urls[roles.WORKER], CHAINGRAPH_RECOVERY_SECONDS="0.2").wait_ready()
    nodes = [
        {"id": "tell", "type": "EmitEach", "inputs": {"eventName": "part", "items": [1, 2]}},
        {"id": "part", "type": "EventListener", "inputs": {"eventName": "part", "schema": "number"}},
        {"id": "twice", "type": "Math", "inputs": {"operation": "multiply", "b": 2}},
    ]
    parent = await create_of(ledger, {"nodes": nodes, "edges": [{"from": "part.payload", "to": "twice.a"}]})
    plain = await create_of(ledger, steps(2, 10))
    for each in (parent, plain):
        assert (await ended(ledger, each)).phase == "Completed"
    assert worker.terminate() == 0, worker.log
    assert "permission denied" not in worker.log
    assert "p%" not in worker.log


def test_roles_have_no_other_rights(urls: dict[str, str]) -> None:
    flows = "UPDATE chaingraph.flow_revisions SET spec = '{}'"
    worker, operator, gateway = urls[roles.WORKER], urls[roles.OPERATOR], urls[roles.GATEWAY]
    assert may(operator, flows)
    for statement in (
        flows,
        "INSERT INTO chaingraph.flow_revisions (revision, spec) VALUES ('r', '{}')",
        "INSERT INTO chaingraph.flows (namespace, name) VALUES ('a', 'b')",
        "DELETE FROM chaingraph.executions",
        "DELETE FROM chaingraph.events",
        "UPDATE chaingraph.cluster SET uid = 'x'",
        "SELECT FROM chaingraph.erasures",
        "ALTER TABLE dbos.workflow_status DROP CONSTRAINT chaingraph_json_only",
        "CREATE TABLE chaingraph.mine ()",
    ):
        assert not may(worker, statement), statement
    for statement in ("UPDATE chaingraph.erasures SET reason = ''", "DELETE FROM chaingraph.erasures"):
        assert not may(operator, statement), statement
    assert may(gateway, "SELECT FROM chaingraph.executions")
    for statement in (
        "SELECT FROM dbos.workflow_status",
        "SELECT FROM chaingraph.flow_revisions",
        "SELECT FROM chaingraph.erasures",
        "UPDATE chaingraph.executions SET name = ''",
        "DELETE FROM chaingraph.journal",
    ):
        assert not may(gateway, statement), statement


def test_every_table_of_the_ledger_has_rights(database_url: str) -> None:
    """A new table has to be named in `roles`, else the operator could not use it."""
    with psycopg.connect(database_url) as connection:
        tables = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'chaingraph'").fetchall()
    assert {row[0] for row in tables} == set(roles._RIGHTS[roles.OPERATOR])
