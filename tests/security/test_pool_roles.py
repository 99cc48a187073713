"""Who has the database role of a pool changes and reads nothing of another pool's work, by whatever SQL."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Final, LiteralString

import psycopg
import pytest
from psycopg import sql

from chaingraph_store.attempts import runs
from chaingraph_store.children import spawning
from chaingraph_store.ids import ExecutionId, called_execution_id, child_execution_id, exit_execution_id
from chaingraph_store.ledger import Ledger
from chaingraph_store.pool_roles import policies
from chaingraph_store.pool_roles.setting import PoolRole
from chaingraph_store.queue import leases
from chaingraph_store.queue.fair_share import TAKE, take_parameters
from chaingraph_store.queue.pinning import Build
from chaingraph_store.signals import NewSignal
from chaingraph_store.tenancy import policies as namespace_policies
from fixtures.ledger.moves import flush, paused_and_parked, steer, take_from_queue
from fixtures.ledger.new_executions import APP, create
from fixtures.ledger.new_leases import new_lease
from fixtures.ledger.pool_roles import queue_of

pytestmark = pytest.mark.integration
NO_RIGHTS: Final = {"chaingraph.cluster", "chaingraph.operators", "chaingraph.erasures", "dbos.event_dispatch_kv"}
PUBLIC: Final = {"chaingraph.workers", "chaingraph.catalogues", "dbos.queues", "dbos.application_versions"}
"""Which workers live, what nodes they have and which queues there are is read by all: recovery and dequeue need it."""
WHOSE: Final = (
    *("id", "uid", "queue", "parent_id", "root_id", "namespace", "flow_revision", "workflow_id", "execution_id"),
    *("workflow_uuid", "destination_uuid", "queue_name", "queue_partition_key", "revision", "queues"),
)
"""Columns that say whose a row is. In `queue_shares` that is the queue: the namespace says whose turn it is in it."""
_TABLES = "SELECT schemaname || '.' || tablename FROM pg_tables WHERE schemaname IN ('chaingraph', 'dbos') ORDER BY 1"


def tables(owner: psycopg.Connection) -> list[str]:
    return [row[0] for row in owner.execute(_TABLES).fetchall()]


def columns(owner: psycopg.Connection, table: str) -> list[str]:
    cursor = owner.execute(
        "SELECT attname FROM pg_attribute WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped"
        " AND attgenerated = ''",
        (table,),
    )
    return [row[0] for row in cursor.fetchall()]


def named(table: str) -> sql.Identifier:
    return sql.Identifier(*table.split("."))


def test_every_table_and_column_is_classified(database_url: str) -> None:
    """A new one has to be named in `pool_roles.policies`; until then the roles of pools have no right to it."""
    with psycopg.connect(database_url) as owner:
        assert set(tables(owner)) == set(policies.RIGHTS) | NO_RIGHTS
        assert set(columns(owner, "chaingraph.executions")) <= {*policies.WORKER_COLUMNS, *policies.FIXED_COLUMNS}
    assert not set(policies.WORKER_COLUMNS) & set(policies.FIXED_COLUMNS)
    made = policies.of(PoolRole("r", ("p",), ("q",)))
    for table, rights in policies.RIGHTS.items():
        restricted = {each.command for each in made if each.table == table}
        if table in policies.READ_BY_ALL:
            assert (rights, restricted) == (("SELECT",), set())
            continue
        needed = {right.split(" ")[0] for right in rights} - ({"SELECT"} if table in PUBLIC else set())
        assert "ALL" in restricted or needed <= restricted, table


@pytest.fixture
def owner(database_url: str) -> Iterator[psycopg.Connection]:
    with psycopg.connect(database_url, autocommit=True) as connection:
        yield connection


@pytest.fixture
def attacker(pool_urls: dict[str, str]) -> Iterator[psycopg.Connection]:
    with psycopg.connect(pool_urls["alpha"], autocommit=True) as connection:
        yield connection


async def work_of(ledger: Ledger, owner: psycopg.Connection, pool: str) -> dict[str, ExecutionId]:
    """Executions of a pool in every state, with something in every table, as operator and workers write it."""
    queue, worker, namespace = queue_of(pool), f"{pool}-worker", f"{pool}-team"
    spec = {"nodes": [{"id": "a", "type": "Text", "inputs": {"value": f"secret of {pool}"}}]}

    async def new(**changes: Any) -> ExecutionId:
        said = {"queue": queue, "namespace": namespace, "flow_revision": f"{pool}-revision", "flow_spec": spec}
        return (await create(ledger, **said | {"inputs": {"is": f"secret of {pool}"}} | changes)).id

    found = {name: await new(held=name == "held") for name in ("waiting", "held", "parked", "running", "parent")}
    async with ledger.transaction() as connection:
        await leases.take(connection, new_lease(worker, build=Build(pool, "1"), nodes=f"{pool}/nodes", queues=[queue]))
        await namespace_policies.save(connection, namespace, namespace_policies.NamespacePolicy(max_running=100))
        await connection.execute(
            TAKE, take_parameters(queue=queue, executor=worker, application_name=APP, version="", owner="", free=0)
        )
    await paused_and_parked(ledger, found["parked"])
    await flush(ledger, await take_from_queue(ledger, found["running"], worker), "flow:started", journal=["a"])
    secret = NewSignal("s", "paid", b'"secret"')
    await steer(ledger, found["running"], paused=True, signals=(secret,))
    taken = await take_from_queue(ledger, found["parent"], worker)
    await flush(ledger, taken, "flow:started", end=runs.AttemptEnd("Completed", outputs=b"{}", children=2))
    async with ledger.connection() as connection:
        parent = await spawning.parent(connection, found["parent"])
    assert parent is not None
    assert await spawn(ledger, parent, 1) is not None
    found["child"] = child_execution_id(found["parent"], 0)
    run = found["running"]
    owner.execute("INSERT INTO dbos.queues (name) VALUES (%s)", (queue,))
    owner.execute("INSERT INTO chaingraph.queue_shares VALUES (%s, %s, 1)", (queue, namespace))
    owner.execute("INSERT INTO chaingraph.flows (namespace, name) VALUES (%s, 'f')", (namespace,))
    owner.execute("INSERT INTO chaingraph.ledger_sizes VALUES (%s, %s, 1, 1)", (run, namespace))
    owner.execute(
        "INSERT INTO dbos.workflow_output (workflow_uuid, output, retention_timestamp) VALUES (%s, '1', 1)", (run,)
    )
    owner.execute(
        "INSERT INTO dbos.operation_outputs (workflow_uuid, function_id, function_name) VALUES (%s, 1, 'f')", (run,)
    )
    owner.execute("INSERT INTO dbos.workflow_events (workflow_uuid, key, value) VALUES (%s, 'k', '1')", (run,))
    owner.execute(
        "INSERT INTO dbos.workflow_events_history (workflow_uuid, function_id, key, value) VALUES (%s, 1, 'k', '1')",
        (run,),
    )
    owner.execute(
        "INSERT INTO dbos.streams (workflow_uuid, key, value, \"offset\", function_id) VALUES (%s, 'k', '1', 0, 1)",
        (run,),
    )
    return found


async def spawn(ledger: Ledger, parent: spawning.Parent, number: int) -> spawning.Batch | None:
    emitted = [spawning.EmittedEvent("part", b'{"is": "secret"}')] * number
    return await spawning.spawn(
        ledger, parent, emitted, nodes=1, integration=b"{}", spacing_ms=100, application_name=APP
    )


def rows(owner: psycopg.Connection) -> dict[str, dict[str, dict[str, Any]]]:
    """Every row there is, by table and place: a row that was written again is at another one."""
    return {
        table: {
            row[0]: row[1]
            for row in owner.execute(sql.SQL("SELECT ctid::text, to_json(t) FROM {} t").format(named(table))).fetchall()
        }
        for table in tables(owner)
    }


class Attack:
    """Statements of the attacker, each on its own; one that is refused does nothing."""

    def __init__(self, connection: psycopg.Connection) -> None:
        self._connection = connection
        self.done = 0
        """Statements that changed or found something."""

    def __call__(self, statement: sql.Composed | LiteralString, parameters: Any = None) -> list[Any]:
        try:
            cursor = self._connection.execute(statement, parameters)
        except psycopg.Error:
            return []
        self.done += cursor.rowcount > 0
        return cursor.fetchall() if cursor.description else []


def write_everything(attack: Attack, owner: psycopg.Connection, known: dict[str, dict[str, dict[str, Any]]]) -> None:
    """Each table: a copy of each row that is known, under each other key; each column as it was, or as another's."""
    for table, its in known.items():
        fields = columns(owner, table)
        listed = sql.SQL(", ").join(map(sql.Identifier, fields))
        insert = sql.SQL("INSERT INTO {0} ({1}) SELECT {1} FROM json_populate_record(NULL::{0}, %s)").format(
            named(table), listed
        )
        for row in its.values():
            attack(insert, (json.dumps(row),))
            for field in fields:
                column = sql.Identifier(field)
                if isinstance(row[field], str):
                    attack(insert, (json.dumps(row | {field: f"{row[field]}-2"}),))
                keys = sql.SQL(", ").join(map(sql.Identifier, _key(owner, table)))
                attack(
                    insert + sql.SQL(" ON CONFLICT ({1}) DO UPDATE SET {0} = excluded.{0}").format(column, keys),
                    (json.dumps(row),),
                )
        for field in fields:
            column = sql.Identifier(field)
            attack(sql.SQL("UPDATE {0} SET {1} = {1}").format(named(table), column))
            for row in its.values():
                attack(
                    sql.SQL("UPDATE {0} t SET {1} = v.{1} FROM json_populate_record(NULL::{0}, %s) v").format(
                        named(table), column
                    ),
                    (json.dumps(row),),
                )


def _key(owner: psycopg.Connection, table: str) -> list[str]:
    cursor = owner.execute(
        "SELECT a.attname FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = ANY (i.indkey)"
        " WHERE i.indrelid = %s::regclass AND i.indisprimary",
        (table,),
    )
    return [row[0] for row in cursor.fetchall()]


def steal(attack: Attack, mine: dict[str, ExecutionId], theirs: dict[str, ExecutionId]) -> None:
    """By the functions, and by making own rows pass for others'."""
    queue = queue_of("beta")
    takes = take_parameters(queue=queue, executor="alpha-worker", application_name=APP, version="", owner="x", free=10)
    assert attack(TAKE, takes) == []
    for victim in theirs.values():
        for workflow in (victim, f"{victim}-2", f"{victim}-hold", f"{victim}-hold-2"):
            for into in (queue, queue_of("alpha"), "chaingraph-held", f"{queue}@beta/1"):
                attack("SELECT dbos.enqueue_workflow('run_execution', %s, workflow_id => %s)", (into, workflow))
            attack("SELECT dbos.send_message(%s, '\"START\"', 'START_SIGNAL')", (workflow,))
            attack("UPDATE chaingraph.executions SET workflow_id = %s WHERE id = %s", (workflow, mine["waiting"]))
        attack("UPDATE chaingraph.executions SET phase = 'Stopped' WHERE id = %s", (victim,))
        # The next child of another's execution, with everything in its place but the queue.
        attack(
            "INSERT INTO chaingraph.executions (id, namespace, name, queue, parent_id, root_id, depth, position, phase,"
            " workflow_id) VALUES (%(id)s, 'alpha-team', 'c', 'alpha-work', %(parent)s, %(parent)s, 1, 1, 'Completed',"
            " %(id)s)",
            {"id": child_execution_id(victim, 1), "parent": victim},
        )
        # Another's child, taken for one of the attacker's own.
        attack(
            "INSERT INTO chaingraph.executions (id, namespace, name, queue, parent_id, root_id, depth, position, phase,"
            " workflow_id) VALUES (%(id)s, 'alpha-team', 'c', 'alpha-work', %(parent)s, %(parent)s, 1, 1, 'Completed',"
            " %(id)s)",
            {"id": child_execution_id(victim, 1), "parent": mine["parent"]},
        )
        # A call of another's execution, and its onExit, taken for those of the attacker's own.
        for call, tried, id_ in (
            ("a", "1.1", called_execution_id(victim, "a", "1.1")),
            ("", "1", exit_execution_id(victim, 1)),
        ):
            attack(
                "INSERT INTO chaingraph.executions (id, namespace, name, queue, parent_id, root_id, depth, position,"
                " phase, workflow_id, subflow, called_by, called_in) VALUES (%(id)s, 'alpha-team', 'c', 'alpha-work',"
                " %(parent)s, %(parent)s, 1, 1, 'Completed', %(id)s, 's', %(call)s, %(tried)s)",
                {"id": id_, "parent": mine["parent"], "call": call, "tried": tried},
            )
    own = mine["waiting"]
    for statement in (
        "UPDATE chaingraph.executions SET change_seq = 9000000000000000000 WHERE id = %s",
        "UPDATE dbos.workflow_status SET queue_name = 'beta-work' WHERE workflow_uuid = %s",
        "UPDATE dbos.workflow_status SET queue_name = 'beta-work@beta/1' WHERE workflow_uuid = %s",
        "UPDATE dbos.workflow_status SET queue_name = 'chaingraph-held' WHERE workflow_uuid = %s",
        "UPDATE dbos.workflow_status SET queue_partition_key = 'beta-team' WHERE workflow_uuid = %s",
        "INSERT INTO dbos.application_versions (version_id, version_name, version_timestamp)"
        " VALUES (%s, 'mine', 9000000000000)",
        "INSERT INTO dbos.queues (name, concurrency) VALUES ('another' || left(%s, 0), 0)",
        "SELECT nextval('chaingraph.change_seq'), setval('chaingraph.change_seq', 1), %s",
    ):
        done = attack.done
        attack(statement, (own,))
        assert attack.done == done, statement


def delete_everything(attack: Attack, owner: psycopg.Connection) -> None:
    for table in tables(owner):
        attack(sql.SQL("DELETE FROM {}").format(named(table)))
        attack(sql.SQL("TRUNCATE {} CASCADE").format(named(table)))
        attack(sql.SQL("ALTER TABLE {} DISABLE ROW LEVEL SECURITY").format(named(table)))
        attack(sql.SQL("DROP TABLE {} CASCADE").format(named(table)))


async def test_no_statement_changes_or_reads_another_pools_work(
    ledger: Ledger, owner: psycopg.Connection, attacker: psycopg.Connection
) -> None:
    owner.execute("INSERT INTO chaingraph.cluster (uid, authority) VALUES ('c', '')")
    owner.execute("INSERT INTO chaingraph.operators (lease, epoch, holder) VALUES ('l', 1, 'h')")
    owner.execute("INSERT INTO chaingraph.erasures (erased_by, namespace, executions, ids) VALUES ('a', 'n', 0, '{}')")
    owner.execute("INSERT INTO dbos.event_dispatch_kv VALUES ('s', 'w', 'k', 'v', 1, 1)")
    owner.execute("UPDATE chaingraph.upkeep SET due_at = now() WHERE task NOT LIKE '%alpha%'")
    theirs = await work_of(ledger, owner, "beta")
    filled = {table for table, its in rows(owner).items() if its}
    assert filled >= set(tables(owner)) - {"dbos.workflow_schedules"}, "there is something to attack in every table"
    mine = await work_of(ledger, owner, "alpha")
    own = ("alpha", *mine.values())
    before = {
        table: {place: row for place, row in its.items() if not any(mark in json.dumps(row) for mark in own)}
        for table, its in rows(owner).items()
    }
    marks = ("beta-work", "beta-team", "beta-revision", "secret of beta", *theirs.values())

    _reads_nothing(attacker, owner, marks)
    attack = Attack(attacker)
    steal(attack, mine, theirs)
    write_everything(attack, owner, before)
    delete_everything(attack, owner)
    assert attack.done > 200, "its own rows it may write"

    after = rows(owner)
    for table, its in before.items():
        for place, row in its.items():
            assert after[table].get(place) == row, f"{table} was changed"
        for place, row in after[table].items():
            claimed = [row.get(column) for column in WHOSE if table != "chaingraph.queue_shares" or column == "queue"]
            if place not in its:
                assert not any(mark in str(said) for mark in marks for said in claimed), f"{table} has {row}"


def _reads_nothing(attacker: psycopg.Connection, owner: psycopg.Connection, marks: tuple[str, ...]) -> None:
    for table in tables(owner):
        if table in PUBLIC or table in policies.READ_BY_ALL:
            continue
        try:
            found = attacker.execute(sql.SQL("SELECT to_json(t)::text FROM {} t").format(named(table))).fetchall()
        except psycopg.errors.InsufficientPrivilege:
            assert table in NO_RIGHTS
            continue
        for row in found:
            assert not any(mark in row[0] for mark in marks), (table, row)
