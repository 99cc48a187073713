"""No decoder but JSON: a row of DBOS's tables that says it is a pickle would run code on whoever reads it."""

from __future__ import annotations

import asyncio
import base64
import os
import pickle
from pathlib import Path
from typing import Any

import psycopg
import pytest
from dbos import _serialization
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from psycopg import sql

from chaingraph_store import schema
from chaingraph_store.errors import SchemaOutdated
from chaingraph_store.ledger import Ledger
from chaingraph_store.queue import dbos_guards
from chaingraph_store.queue.dispatch import RUN_WORKFLOW
from chaingraph_worker import application
from chaingraph_worker.errors import UnsafeValue
from fixtures.ledger.database import migrate
from fixtures.ledger.new_executions import APP
from fixtures.processes.programs import RunWorker

TABLES = (
    "workflow_status",
    "operation_outputs",
    "notifications",
    "workflow_events",
    "workflow_events_history",
    "streams",
)


class Bomb:
    """Makes a file when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self._mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self._mark),)


def bomb(mark: Path) -> str:
    return base64.b64encode(pickle.dumps(Bomb(mark))).decode()


@pytest.fixture
def refusing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_serialization.DefaultSerializer, "deserialize", _serialization.DefaultSerializer.deserialize)
    application.refuse_pickles()


@pytest.mark.usefixtures("refusing")
def test_no_door_of_dbos_decodes_a_pickle(tmp_path: Path) -> None:
    value, ours = bomb(tmp_path / "mark"), _serialization.DBOSPortableJSON
    for decode in (
        _serialization.deserialize_value,
        _serialization.deserialize_args,
        _serialization.deserialize_exception,
    ):
        with pytest.raises(UnsafeValue, match="Python pickle"):
            decode(value, "py_pickle", ours)
    _serialization.safe_deserialize(
        ours, "py_pickle", "w", serialized_input=value, serialized_output=value, serialized_exception=value
    )
    assert not (tmp_path / "mark").exists()


@pytest.mark.integration
@pytest.mark.parametrize("table", TABLES)
def test_database_refuses_rows_of_another_serialization(database_url: str, table: str) -> None:
    with psycopg.connect(database_url) as connection:
        found = [row[0] for row in connection.execute(dbos_guards._TABLES, (dbos_guards.CONSTRAINT,)).fetchall()]
        assert sorted(found) == sorted(TABLES), "a table of DBOS that nobody has looked at"
        with pytest.raises(psycopg.errors.CheckViolation):
            _insert(connection, table, "py_pickle")


def _insert(connection: psycopg.Connection[Any], table: str, serialization: str) -> None:
    """A row with what the table wants and a serialization. The constraint is checked before foreign keys."""
    rows: dict[str, dict[str, Any]] = {
        "workflow_status": {"workflow_uuid": "w", "status": "ENQUEUED"},
        "operation_outputs": {"workflow_uuid": "w", "function_id": 1, "function_name": "f"},
        "notifications": {"destination_uuid": "w", "topic": "t", "message": "m"},
        "workflow_events": {"workflow_uuid": "w", "key": "k", "value": "v"},
        "workflow_events_history": {"workflow_uuid": "w", "function_id": 1, "key": "k", "value": "v"},
        "streams": {"workflow_uuid": "w", "key": "k", "value": "v", "offset": 1},
    }
    row = rows[table] | {"serialization": serialization}
    connection.execute(
        sql.SQL("INSERT INTO dbos.{} ({}) VALUES ({})").format(
            sql.Identifier(table),
            sql.SQL(", ").join(map(sql.Identifier, row)),
            sql.SQL(", ").join(sql.Placeholder() for _ in row),
        ),
        list(row.values()),
    )


@pytest.mark.integration
def test_constraint_knows_one_name_alone(database_url: str) -> None:
    """DBOS looks other names up among its serializers: none of them is ours, whatever its spelling."""
    with psycopg.connect(database_url, autocommit=True) as connection:

        @settings(max_examples=60, deadline=None)
        @given(st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]), max_size=14))
        @example("py_pickle")
        @example("PORTABLE_JSON")
        @example("portable_json ")
        @example("")
        def refused(name: str) -> None:
            assume(name != dbos_guards.JSON)
            with pytest.raises(psycopg.errors.CheckViolation):
                _insert(connection, "workflow_status", name)

        refused()
        _insert(connection, "workflow_status", dbos_guards.JSON)


def _disarm_guards(url: str) -> None:
    """As the database was before this release."""
    with psycopg.connect(url, autocommit=True) as connection:
        for table in TABLES:
            connection.execute(
                sql.SQL("ALTER TABLE dbos.{} DROP CONSTRAINT {}").format(
                    sql.Identifier(table), sql.Identifier(dbos_guards.CONSTRAINT)
                )
            )


def _smuggle(url: str, mark: Path) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(
            "INSERT INTO dbos.workflow_status (workflow_uuid, status, name, application_name, queue_name, priority,"
            " serialization, created_at)"
            " VALUES ('evil', 'ENQUEUED', %s, %s, 'chaingraph-executions', 0, 'py_pickle', 1)",
            (RUN_WORKFLOW, APP),
        )
        connection.execute("INSERT INTO dbos.workflow_input (workflow_uuid, inputs) VALUES ('evil', %s)", (bomb(mark),))


@pytest.mark.integration
async def test_processes_wait_while_a_guard_is_missing(ledger: Ledger, database_url: str) -> None:
    async with ledger.connection() as connection:
        await schema.check(connection)
        _disarm_guards(database_url)
        with pytest.raises(SchemaOutdated, match="notifications lacks the constraint chaingraph_json_only"):
            await schema.check(connection)


@pytest.mark.integration
async def test_smuggled_pickle_is_disarmed_and_not_run(
    ledger: Ledger, database_url: str, run_worker: RunWorker, tmp_path: Path
) -> None:
    mark = tmp_path / "mark"
    _disarm_guards(database_url)
    _smuggle(database_url, mark)
    await asyncio.to_thread(migrate, database_url)
    worker = run_worker().wait_ready()
    async with ledger.connection() as connection:
        cursor = await connection.execute(
            "SELECT status, serialization FROM dbos.workflow_status WHERE workflow_uuid = 'evil'"
        )
        assert await cursor.fetchone() == ("CANCELLED", "portable_json")
        await schema.check(connection)
    await asyncio.sleep(1)
    assert not mark.exists()
    assert worker.process.poll() is None
