"""What a pool's role may do with each table of the ledger and of DBOS: its rights and its policies. Pure.

A policy restricts: it holds beside one that lets everybody do everything, which PostgreSQL wants to be there. The
queues stand in the policies themselves, so that nothing has to be looked up for each row. An execution is the pool's if
its queue is; what belongs to an execution is looked up by its id, under the same policy of `executions`. A table that
is not named here gives a pool's role no right: see tests/security/test_pool_roles.py.
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
"""Begins the names of our policies. The rest is a hash of the definition: the name says whether it is current."""
EVERYBODY: Final = f"{PREFIX}everybody"
Command = Literal["ALL", "SELECT", "INSERT", "UPDATE", "DELETE"]

CHILD_COLUMNS: Final = (
    *("id", "namespace", "name", "flow_name", "flow_revision", "inputs", "events", "integration", "options", "queue"),
    *("priority", "start_timeout_s", "parent_id", "root_id", "depth", "position", "phase", "workflow_id"),
    *("nodes_total", "breakpoints", "on_stop", "resources", "finished_at", "error_reason", "error_message"),
    "next_event_index",
)
"""Of `executions`: what a worker writes when it makes a child."""
WORKER_COLUMNS: Final = (
    *("phase", "owner_epoch", "worker", "lost_worker", "worker_pool", "worker_version", "started_at", "finished_at"),
    *("change_seq", "next_event_index", "nodes_total", "nodes_completed", "nodes_failed", "nodes_skipped"),
    *("nodes_running", "current_nodes", "running_nodes", "outputs", "error_node", "error_reason", "error_message"),
    "paused",
    *("pause_reason", "start_logged", "pause_logged", "parked", "applied_seq", "ran_ms", "step_seqs", "run"),
    *(
        "workflow_id",
        "children_total",
        "children_spawned",
        "children_active",
        "parent_notified",
        "counted",
        "recoveries",
    ),
    *("recovered_nodes", "losses"),
)
"""Of `executions`: what a worker changes."""
FIXED_COLUMNS: Final = (
    *("id", "uid", "namespace", "namespace_uid", "name", "flow_name", "flow_revision", "inputs", "events"),
    *("integration", "options", "queue", "priority", "start_timeout_s", "parent_id", "root_id", "depth", "position"),
    *("created_at", "attempt", "attempts", "wants_pause", "breakpoints", "step_token", "resume_token", "retry_token"),
    *(
        "retry_refusal",
        "control_seq",
        "pause_seq",
        "on_stop",
        "children_suppressed",
        "children_unspawned",
        "tree_stopped",
    ),
    *("resources", "observed_generation", "used_tokens", "deleted_at", "held_at", "expired_at"),
)
"""Of `executions`: what only the operator changes. `queue` among them, which says whose the execution is."""

RIGHTS: Final[Mapping[str, Sequence[str]]] = {
    "chaingraph.executions": (
        "SELECT",
        f"INSERT ({', '.join(CHILD_COLUMNS)})",
        f"UPDATE ({', '.join(WORKER_COLUMNS)})",
    ),
    "chaingraph.journal": ("SELECT", "INSERT", "UPDATE"),
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
"""What a pool's role may do at all, by table."""
READ_BY_ALL: Final[Mapping[str, str]] = {
    "chaingraph.flows": "names of Flows and the inputs they have when none are given: for emitters that name one",
    "chaingraph.namespace_policies": "what the administrator lets each namespace use",
    "chaingraph.ledger_sizes": "bytes by execution: the limit of a namespace counts all its queues",
    "chaingraph.pool_roles": "names of roles, pools and queues",
    "dbos.workflow_schedules": "we have none",
    "dbos.dbos_migrations": "numbers of DBOS's migrations",
}
"""Tables that a pool's role reads as a whole and never writes, and what they hold."""


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
    """The policies of a role, on all tables where it does not just read."""
    queues, pools = _array(role.queues), _array(role.pools)
    found: list[RowPolicy] = []

    def restrict(table: str, command: Command, *, using: str = "", check: str = "") -> None:
        found.append(RowPolicy(table, role.role, command, using, check))

    def changes(table: str, condition: str) -> None:
        """All may read it."""
        restrict(table, "INSERT", check=condition)
        restrict(table, "UPDATE", using=condition, check=condition)
        restrict(table, "DELETE", using=condition)

    restrict(
        "chaingraph.executions",
        "ALL",
        using=f"queue = ANY ({queues})",
        # Whoever stops or retries it has its workflow cancelled: it has to be its own. A number of a change that is
        # yet to come would have the operator miss those of others.
        check=f"queue = ANY ({queues}) AND {_execution('workflow_id')} = id"
        " AND change_seq <= pg_catalog.pg_sequence_last_value('chaingraph.change_seq'::regclass)",
    )
    restrict(
        "chaingraph.executions",
        "INSERT",
        check="chaingraph.is_child(id, parent_id, root_id, namespace, queue, depth, position, flow_revision)",
    )
    own = _visible("journal.execution_id")
    restrict("chaingraph.journal", "ALL", using=own, check=own)
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
    # DBOS inserts the version that it finds there, which changes nothing. Another one would have no worker take work.
    restrict("dbos.application_versions", "INSERT", check="chaingraph.knows_version(version_name)")
    restrict("dbos.application_versions", "UPDATE", using="false", check="false")
    return found


def _array(texts: Sequence[str]) -> str:
    return f"{sql.Literal(list(texts)).as_string(None)}::text[]"


def _execution(workflow: str) -> str:
    """The id of the execution that a workflow runs or holds: ids of executions have no '-'."""
    return f"split_part({workflow}, '-', 1)"


def _visible(execution: str) -> str:
    """Whether the policy of `executions` shows the execution of this id. A scalar: it is looked up, and never hashed.

    Args:
        execution: an expression with the names of tables before those of columns: in here `executions` comes first.
    """
    return f"(SELECT true FROM chaingraph.executions e WHERE e.id = {execution})"  # noqa: S608 - our own expressions


def _readable_run(queues: str) -> str:
    """By its queue, without a look at the execution, where that says it."""
    own = _visible(_execution("workflow_status.workflow_uuid"))
    return (
        f"CASE WHEN queue_name IS NULL OR queue_name = '{HOLD_QUEUE}' THEN {own}"
        f" ELSE split_part(queue_name, '@', 1) = ANY ({queues}) END"
    )


def _writable_run(queues: str) -> str:
    """A run of one of its executions, in one of its queues, counted for the namespace that the execution is in.

    All workers take from the queue of holds, so nothing but a hold may be in it.
    """
    is_hold = f"name = '{HOLD_WORKFLOW}' AND split_part(workflow_uuid, '-', 2) = 'hold'"
    return (
        f"CASE WHEN queue_name IS NULL THEN true WHEN queue_name = '{HOLD_QUEUE}' THEN {is_hold}"  # noqa: S608 - as above
        f" ELSE split_part(queue_name, '@', 1) = ANY ({queues}) END"
        " AND (SELECT workflow_status.queue_partition_key IS NULL OR workflow_status.queue_partition_key = e.namespace"
        f" FROM chaingraph.executions e WHERE e.id = {_execution('workflow_status.workflow_uuid')})"
    )
