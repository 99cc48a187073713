"""The table `executions`: one row per execution."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from psycopg.rows import class_row

from chaingraph_store import outputs
from chaingraph_store.ids import ExecutionId, WorkflowId
from chaingraph_store.ledger import Connection

TERMINAL_PHASES: Final = frozenset({"Completed", "Failed", "Stopped"})


@dataclass(frozen=True, slots=True)
class ExecutionRow:
    """The ledger's data of an execution, without its inputs."""

    id: ExecutionId
    uid: str | None
    namespace: str
    name: str
    flow_name: str
    flow_revision: str | None
    """None for a child whose flow was not found."""
    queue: str
    parent_id: ExecutionId | None
    root_id: ExecutionId
    depth: int
    phase: str
    attempt: int
    workflow_id: WorkflowId
    recoveries: int
    worker: str
    lost_worker: str
    nodes_total: int
    nodes_completed: int
    nodes_failed: int
    nodes_skipped: int
    nodes_running: int
    current_nodes: list[str]
    outputs: dict[str, Any] | None
    """The smallest outputs, up to the size limit of a status, in the order of the flow."""
    error_node: str
    error_reason: str
    error_message: str
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    change_seq: int
    run: int = 1
    wants_pause: bool = False
    paused: bool = False
    pause_node: str = ""
    parked: bool = False
    breakpoints: list[str] = field(default_factory=list)
    step_token: str = ""
    resume_token: str = ""
    retry_token: str = ""
    retry_refusal: str = ""
    retry_refusal_message: str = ""
    control_seq: int = 0
    applied_seq: int = 0
    step_seqs: list[int] = field(default_factory=list)
    ran_ms: int = 0
    on_stop: str = "Stop"
    attempts: list[dict[str, Any]] = field(default_factory=list)
    """The ends of earlier attempts, the newest last: see `retrying`."""
    position: int | None = None
    subflow: str = ""
    """The subflow that it runs instead of the flow, or ''."""
    called_by: str = ""
    """The path of the call in its parent that it is; '' for a child of an emission, and for that of `onExit`."""
    children_total: int = 0
    children_spawned: int = 0
    children_suppressed: int = 0
    children_active: int = 0
    parent_notified: bool = False
    counted: bool = False
    tree_stopped: bool = False
    resources: str = "Create"
    observed_generation: int = 0
    used_tokens: list[str] = field(default_factory=list)
    worker_pool: str = ""
    worker_version: str = ""
    """The build of the worker that last claimed the attempt; '' before the first claim: see `pinning`."""
    priority: int = 0
    start_timeout_s: int = 300
    options: dict[str, Any] = field(default_factory=dict)
    """Of the current attempt."""
    running_nodes: list[dict[str, Any]] = field(default_factory=list)
    """The state of the first running and waiting nodes: see `running_nodes`. After its end, those it interrupted."""
    nodes_waiting: int = 0
    wake_at: datetime | None = None
    """When it continues, while it is asleep; see `waking`."""
    omitted_outputs: dict[str, int] = field(default_factory=dict)
    """The other outputs, with their sizes in bytes of JSON."""
    losses: int = 0
    """Workers lost since a node has ended, in any company. `recoveries` counts those in which it ran alone."""

    @property
    def ended(self) -> bool:
        return self.phase in TERMINAL_PHASES

    @property
    def tree_ended(self) -> bool:
        """Whether it and all descendants have ended, as far as they were counted."""
        return self.ended and self.children_active == 0

    @property
    def steps_owed(self) -> int:
        """STEP commands that have not been carried out, as far as the ledger knows."""
        return len(self.step_seqs)


_ROOM: Final = "16384"
"""Bytes of outputs, as JSON, that are read with a row: the limit of a status. Other outputs may have any size."""
_COMPUTED: Final = {
    "outputs": f"{outputs.shown('outputs', _ROOM)} AS outputs",
    "omitted_outputs": f"{outputs.omitted('outputs', _ROOM)} AS omitted_outputs",
}
_COLUMNS: Final = ", ".join(_COMPUTED.get(name, name) for name in ExecutionRow.__dataclass_fields__)


async def by_id(connection: Connection, execution: ExecutionId) -> ExecutionRow | None:
    async with connection.cursor(row_factory=class_row(ExecutionRow)) as cursor:
        await cursor.execute(f"SELECT {_COLUMNS} FROM chaingraph.executions WHERE id = %s", (execution,))  # noqa: S608 our own column names
        return await cursor.fetchone()


async def by_uid(connection: Connection, uid: str) -> ExecutionRow | None:
    """Return the execution that the resource with this UID represents."""
    async with connection.cursor(row_factory=class_row(ExecutionRow)) as cursor:
        await cursor.execute(f"SELECT {_COLUMNS} FROM chaingraph.executions WHERE uid = %s", (uid,))  # noqa: S608 our own column names
        return await cursor.fetchone()


async def by_ids(connection: Connection, executions: Sequence[ExecutionId]) -> dict[ExecutionId, ExecutionRow]:
    async with connection.cursor(row_factory=class_row(ExecutionRow)) as cursor:
        await cursor.execute(
            f"SELECT {_COLUMNS} FROM chaingraph.executions WHERE id = ANY(%s)",  # noqa: S608 our own column names
            (list(executions),),
        )
        return {row.id: row for row in await cursor.fetchall()}


@dataclass(frozen=True, slots=True)
class ActiveExecution:
    """An execution with a resource, whose tree still needs action."""

    id: ExecutionId
    parent_id: ExecutionId | None
    uid: str
    namespace: str
    name: str


# The planner assumes ten times as many results of a recursion as it starts with. OFFSET 0 keeps it from reading all
# executions for that.
_TENDED: Final = """
WITH RECURSIVE busy AS MATERIALIZED (
  SELECT id, parent_id, uid, namespace, name, depth FROM chaingraph.executions
  WHERE phase NOT IN ('Completed', 'Failed', 'Stopped') AND (%(all)s OR namespace = ANY(%(namespaces)s))
  UNION
  SELECT id, parent_id, uid, namespace, name, depth FROM chaingraph.executions
  WHERE children_unspawned > 0 AND (%(all)s OR namespace = ANY(%(namespaces)s))
), above AS (
  SELECT parent_id AS id FROM busy WHERE parent_id IS NOT NULL
  UNION
  SELECT e.parent_id FROM above
  CROSS JOIN LATERAL (SELECT parent_id FROM chaingraph.executions WHERE id = above.id OFFSET 0) e
  WHERE e.parent_id IS NOT NULL
)
SELECT id, parent_id, uid, namespace, name, depth FROM busy WHERE uid IS NOT NULL
UNION
SELECT e.* FROM above
CROSS JOIN LATERAL (SELECT id, parent_id, uid, namespace, name, depth FROM chaingraph.executions
                    WHERE id = above.id OFFSET 0) e
WHERE e.uid IS NOT NULL
ORDER BY depth, id
"""


async def tended(connection: Connection, *, namespaces: Sequence[str] | None) -> list[ActiveExecution]:
    """Return the executions with a resource that are active or have yet to spawn, and their ancestors.

    The operator's sweep stops those whose resource is gone. Parents come before their children. `namespaces` None means
    all.
    """
    cursor = await connection.execute(_TENDED, {"all": namespaces is None, "namespaces": list(namespaces or ())})
    return [
        ActiveExecution(ExecutionId(row[0]), None if row[1] is None else ExecutionId(row[1]), *row[2:5])
        for row in await cursor.fetchall()
    ]
