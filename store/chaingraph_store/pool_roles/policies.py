"""The rights and policies of a pool's role for each table of the ledger and of DBOS. Pure.

A policy restricts: it applies in addition to a permissive one for everybody, which PostgreSQL requires. The queues are
part of the policies, so that no row needs a lookup. An execution belongs to the pool if its queue does; rows of an
execution are checked by its id, under the same policy of `executions`. A pool's role has no right on any other table:
see tests/security/test_pool_roles.py.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from psycopg import sql

from chaingraph_store.periodic import TASKS, own_task
from chaingraph_store.pool_roles.setting import PoolRole
from chaingraph_store.queue.dispatch import HOLD_QUEUE, HOLD_WORKFLOW

PREFIX: Final = "chaingraph pool "
"""Prefix of our policies' names. The rest is a hash of the definition, which shows whether it is current."""
EVERYBODY: Final = f"{PREFIX}everybody"
Command = Literal["ALL", "SELECT", "INSERT", "UPDATE", "DELETE"]

CHILD_COLUMNS: Final = (
    *("id", "namespace", "name", "flow_name", "flow_revision", "inputs", "events", "integration", "options", "queue"),
    *("priority", "start_timeout_s", "parent_id", "root_id", "depth", "position", "phase", "workflow_id"),
    *("nodes_total", "breakpoints", "on_stop", "resources", "finished_at", "error_reason", "error_message"),
    *("next_event_index", "subflow", "called_by", "called_in"),
)
"""Columns of `executions` that a worker writes when it creates a child."""
WORKER_COLUMNS: Final = (
    *("phase", "owner_epoch", "worker", "lost_worker", "worker_pool", "worker_version", "started_at", "finished_at"),
    *("change_seq", "next_event_index", "nodes_total", "nodes_completed", "nodes_failed", "nodes_skipped"),
    *(
        "nodes_running",
        "nodes_waiting",
        "asleep_at",
        "wake_at",
        "current_nodes",
        "running_nodes",
        "outputs",
        "error_node",
        "error_reason",
        "error_message",
    ),
    "paused",
    *("pause_node", "start_logged", "pause_logged", "parked", "applied_seq", "ran_ms", "step_seqs", "run"),
    *(
        "workflow_id",
        "children_total",
        "children_spawned",
        "children_active",
        "parent_notified",
        "counted",
        "recoveries",
    ),
    *("recovered_nodes", "losses", "children_called", "control_seq", "exit_subflow", "exit_timeout_s", "exit_attempt"),
    *("error_details", "children_suppressed", "tree_stopped"),
)
"""Columns of `executions` that a worker changes."""
FIXED_COLUMNS: Final = (
    *("id", "uid", "namespace", "namespace_uid", "name", "flow_name", "flow_revision", "inputs", "events"),
    *("integration", "options", "queue", "priority", "start_timeout_s", "parent_id", "root_id", "depth", "position"),
    *("subflow", "called_by", "called_in"),
    *("created_at", "attempt", "attempts", "wants_pause", "breakpoints", "step_token", "resume_token", "retry_token"),
    *(
        "retry_refusal",
        "retry_refusal_message",
        "signal_count",
        "pause_seq",
        "on_stop",
        "children_unspawned",
    ),
    *("resources", "observed_generation", "used_tokens", "deleted_at", "held_at", "expired_at"),
)
"""Columns of `executions` that only the operator changes, among them `queue`, which determines the owner."""

RIGHTS: Final[Mapping[str, Sequence[str]]] = {
    "chaingraph.executions": (
        "SELECT",
        f"INSERT ({', '.join(CHILD_COLUMNS)})",
        f"UPDATE ({', '.join(WORKER_COLUMNS)})",
    ),
    "chaingraph.journal": ("SELECT", "INSERT", "UPDATE"),
    "chaingraph.signals": ("SELECT",),
    "chaingraph.events": ("SELECT", "INSERT"),
    "chaingraph.trees": ("SELECT", "INSERT", "UPDATE"),
    "chaingraph.flow_revisions": ("SELECT",),
    "chaingraph.catalogues": ("SELECT", "INSERT", "UPDATE"),
    "chaingraph.workers": ("SELECT", "INSERT", "UPDATE", "DELETE"),
    "chaingraph.upkeep": ("SELECT", "UPDATE"),
    "chaingraph.queue_shares": ("SELECT", "INSERT", "UPDATE"),
    "chaingraph.flows": ("SELECT",),
    "chaingraph.namespace_policies": ("SELECT",),
    "chaingraph.ledger_sizes": ("SELECT",),
    "chaingraph.pool_roles": ("SELECT",),
    "dbos.workflow_status": ("SELECT", "INSERT", "UPDATE", "DELETE"),
    "dbos.workflow_input": ("SELECT", "INSERT", "UPDATE", "DELETE"),
    "dbos.workflow_output": ("SELECT", "INSERT", "UPDATE", "DELETE"),
    "dbos.operation_outputs": ("SELECT", "INSERT", "UPDATE", "DELETE"),
    "dbos.notifications": ("SELECT", "INSERT", "UPDATE", "DELETE"),
    "dbos.workflow_events": ("SELECT", "INSERT", "UPDATE", "DELETE"),
    "dbos.workflow_events_history": ("SELECT", "INSERT", "UPDATE", "DELETE"),
    "dbos.streams": ("SELECT", "INSERT", "UPDATE", "DELETE"),
    "dbos.queues": ("SELECT", "INSERT", "UPDATE", "DELETE"),
    "dbos.application_versions": ("SELECT", "INSERT", "UPDATE"),
    "dbos.workflow_schedules": ("SELECT",),
    "dbos.dbos_migrations": ("SELECT",),
}
"""The rights of a pool's role, by table."""
READ_BY_ALL: Final[Mapping[str, str]] = {
    "chaingraph.flows": "names of Flows and the inputs they have when none are given: for emitters that name one",
    "chaingraph.namespace_policies": "queues and sizes that each namespace may use",
    "chaingraph.ledger_sizes": "bytes by execution: the limit of a namespace counts all its queues",
    "chaingraph.pool_roles": "names of roles, pools and queues",
    "dbos.workflow_schedules": "we have none",
    "dbos.dbos_migrations": "numbers of DBOS's migrations",
}
"""Tables that a pool's role reads as a whole and never writes, and their content."""


@dataclass(frozen=True, slots=True)
class RowPolicy:
    """A restrictive policy of one role on one table."""

    table: str
    role: str
    command: Command
    using: str
    check: str

    @property
    def name(self) -> str:
        said = "\0".join((self.role, self.command, self.using, self.check))
        return PREFIX + hashlib.sha256(said.encode()).hexdigest()[:16]


def of(role: PoolRole) -> list[RowPolicy]:
    """Return the policies of a role, on all tables that it can write or read in part."""
    queues, pools = _array(role.queues), _array(role.pools)
    found: list[RowPolicy] = []

    def restrict(table: str, command: Command, *, using: str = "", check: str = "") -> None:
        found.append(RowPolicy(table, role.role, command, using, check))

    def changes(table: str, condition: str) -> None:
        """Restrict changes only: all roles may read the table."""
        restrict(table, "INSERT", check=condition)
        restrict(table, "UPDATE", using=condition, check=condition)
        restrict(table, "DELETE", using=condition)

    restrict(
        "chaingraph.executions",
        "ALL",
        using=f"queue = ANY ({queues})",
        # A stop or a retry cancels its workflow, which must be its own. A change number from the future would make the
        # operator miss changes of others.
        check=f"queue = ANY ({queues}) AND {_execution('workflow_id')} = id"
        " AND change_seq <= pg_catalog.pg_sequence_last_value('chaingraph.change_seq'::regclass)",
    )
    restrict(
        "chaingraph.executions",
        "INSERT",
        check="chaingraph.is_child(id, parent_id, root_id, namespace, queue, depth, position, flow_revision,"
        " subflow, called_by, called_in)",
    )
    own = _visible("journal.execution_id")
    restrict("chaingraph.journal", "ALL", using=own, check=own)
    own = _visible("signals.execution_id")
    restrict("chaingraph.signals", "ALL", using=own, check=own)
    restrict("chaingraph.events", "SELECT", using=_visible("events.execution_id"))
    restrict("chaingraph.events", "INSERT", check="chaingraph.sees_execution(execution_id)")
    own = _visible("trees.root_id")
    restrict("chaingraph.trees", "ALL", using=own, check=own)
    restrict(
        "chaingraph.flow_revisions",
        "ALL",
        using="(SELECT true FROM chaingraph.executions e WHERE e.flow_revision = flow_revisions.revision LIMIT 1)",
    )
    changes("chaingraph.catalogues", f"split_part(hash, '/', 1) = ANY ({pools})")
    changes("chaingraph.workers", f"pool = ANY ({pools}) AND queues <@ {queues}")
    tasks = f"task = ANY ({_array([own_task(task, role.role) for task in TASKS])})"
    restrict("chaingraph.upkeep", "ALL", using=tasks, check=tasks)
    restrict("chaingraph.queue_shares", "ALL", using=f"queue = ANY ({queues})", check=f"queue = ANY ({queues})")
    restrict("dbos.workflow_status", "ALL", using=_readable_run(queues), check=_writable_run(queues))
    for table in (
        *("workflow_input", "workflow_output", "operation_outputs", "workflow_events", "workflow_events_history"),
        "streams",
    ):
        own = _visible(_execution(f"{table}.workflow_uuid"))
        restrict(f"dbos.{table}", "ALL", using=own, check=own)
    own = _visible(_execution("notifications.destination_uuid"))
    restrict("dbos.notifications", "ALL", using=own, check=own)
    changes("dbos.queues", f"split_part(name, '@', 1) = ANY ({queues})")
    # DBOS inserts the version that already exists, which changes nothing. Another one would keep workers from work.
    restrict("dbos.application_versions", "INSERT", check="chaingraph.knows_version(version_name)")
    restrict("dbos.application_versions", "UPDATE", using="false", check="false")
    return found


def _array(texts: Sequence[str]) -> str:
    return f"{sql.Literal(list(texts)).as_string(None)}::text[]"


def _execution(workflow: str) -> str:
    """Return an expression for the execution that a workflow runs or holds: ids of executions have no '-'."""
    return f"split_part({workflow}, '-', 1)"


def _visible(execution: str) -> str:
    """Whether the policy of `executions` shows the execution with this id. A scalar: looked up, and never hashed.

    Args:
        execution: an expression with qualified columns, because inside the subquery `executions` comes first.
    """
    return f"(SELECT true FROM chaingraph.executions e WHERE e.id = {execution})"  # noqa: S608 - our own expressions


def _readable_run(queues: str) -> str:
    """Check a run by its queue if possible, without reading the execution."""
    own = _visible(_execution("workflow_status.workflow_uuid"))
    return (
        f"CASE WHEN queue_name IS NULL OR queue_name = '{HOLD_QUEUE}' THEN {own}"
        f" ELSE split_part(queue_name, '@', 1) = ANY ({queues}) END"
    )


def _writable_run(queues: str) -> str:
    """Check a run: of one of the role's executions, in one of its queues, counted for the execution's namespace.

    All workers take from the queue of holds, so only holds may be in it.
    """
    is_hold = f"name = '{HOLD_WORKFLOW}' AND split_part(workflow_uuid, '-', 2) = 'hold'"
    return (
        f"CASE WHEN queue_name IS NULL THEN true WHEN queue_name = '{HOLD_QUEUE}' THEN {is_hold}"  # noqa: S608 - as above
        f" ELSE split_part(queue_name, '@', 1) = ANY ({queues}) END"
        " AND (SELECT workflow_status.queue_partition_key IS NULL OR workflow_status.queue_partition_key = e.namespace"
        f" FROM chaingraph.executions e WHERE e.id = {_execution('workflow_status.workflow_uuid')})"
    )
