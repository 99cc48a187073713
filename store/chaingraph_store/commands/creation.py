"""Create an execution: its row, its creation event, and its enqueue or its hold, in one transaction.

Every statement can be repeated: the ids are derived, so a crash between any two steps of the operator leaves nothing
half done, and a repetition changes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from psycopg.types.json import Json

from chaingraph_store import events
from chaingraph_store.commands.tokens import TokenKind, with_token
from chaingraph_store.errors import ConflictingExecution
from chaingraph_store.flows import flow_revisions
from chaingraph_store.ids import ExecutionId, workflow_id
from chaingraph_store.ledger import CHANGES, Connection
from chaingraph_store.queue import dispatch, order


@dataclass(frozen=True, slots=True, kw_only=True)
class NewExecution:
    """A new execution. `held`: created with its event, and not started until its START_SIGNAL comes."""

    id: ExecutionId
    uid: str
    namespace: str
    name: str
    flow_name: str
    flow_revision: str
    flow_spec: Mapping[str, Any]
    nodes_total: int
    inputs: Mapping[str, Any]
    events: Sequence[Mapping[str, Any]]
    integration: Mapping[str, Any]
    options: Mapping[str, Any]
    queue: str
    priority: int
    start_timeout_seconds: int
    held: bool
    breakpoints: Sequence[str] = ()
    on_stop: str = "Stop"
    resources: str = "Create"
    """Whether the children that it spawns get resources, and theirs: Create or None."""
    step: str = ""
    resume: str = ""
    retry: str = ""
    """The tokens that the spec has at creation: they request nothing."""
    generation: int = 1
    """The generation of the resource that this was read from."""
    namespace_uid: str = ""
    """UID of the resource's namespace; '' when the operator may not read it."""


_CREATE: Final = f"""
WITH revised AS (
  INSERT INTO chaingraph.flow_revisions (revision, spec, exit_subflow, exit_timeout_s)
  VALUES (%(flow_revision)s, %(flow_spec)s::text::json, %(exit_subflow)s, %(exit_timeout)s)
  ON CONFLICT (revision) DO NOTHING
), made AS (
  INSERT INTO chaingraph.executions (id, uid, namespace, name, flow_name, flow_revision, inputs, events,
    integration, options, queue, priority, start_timeout_s, root_id, phase, workflow_id, nodes_total,
    wants_pause, breakpoints, on_stop, resources, step_token, resume_token, retry_token, used_tokens,
    observed_generation, namespace_uid)
  SELECT %(id)s, %(uid)s, %(namespace)s, %(name)s, %(flow_name)s, %(flow_revision)s, %(inputs)s, %(events)s,
    %(integration)s, %(options)s, %(queue)s, %(priority)s, %(start_timeout)s, %(id)s, %(phase)s, %(first_run)s,
    %(nodes_total)s, %(held)s, %(breakpoints)s, %(on_stop)s, %(resources)s, %(step)s, %(resume)s, %(retry)s, %(used)s,
    %(generation)s, %(namespace_uid)s
  WHERE NOT {flow_revisions.IS_ANOTHER}
  ON CONFLICT DO NOTHING RETURNING id
), announced AS (
  INSERT INTO chaingraph.events (execution_id, index, type, at, data)
  SELECT id, {events.ANNOUNCEMENT_INDEX}, 'execution:created', now(), %(announcement)s FROM made
)
SELECT {dispatch.ENQUEUE}, pg_notify(%(channel)s, id), {order.NEWCOMERS_TURN} FROM made
"""  # noqa: S608 - put together of constants alone
"""One statement, so one round trip: creation is the operator's largest cost per execution."""


async def create(connection: Connection, new: NewExecution, *, application_name: str) -> bool:
    """Create the execution: its flow's revision, its row, its creation event, and its enqueue or its hold.

    One statement, so one transaction even if the caller has opened none. Another statement only when the queue is
    behind.

    Returns:
        Whether the row is new; False when it existed already.

    Raises:
        ConflictingExecution: the id belongs to another resource, which derived ids rule out.
        ConflictingRevision: the ledger has another flow under this revision.
    """
    if new.held:
        enqueue = dispatch.hold_parameters(
            new.id, timeout_seconds=new.start_timeout_seconds, application_name=application_name
        )
    else:
        enqueue = dispatch.run_parameters(
            new.id,
            run=1,
            queue=new.queue,
            priority=new.priority,
            application_name=application_name,
            namespace=new.namespace,
        )
    cursor = await connection.execute(_CREATE, _row(new) | enqueue | {"channel": CHANGES})
    row = await cursor.fetchone()
    if row is None:
        await flow_revisions.check(connection, new.flow_revision, new.flow_spec)
        await _check_same(connection, new)
        return False
    if row[2] is not None:
        await order.give(connection, [(enqueue["workflow_id"], row[2])])
    return True


def _row(new: NewExecution) -> dict[str, Any]:
    return {
        "id": new.id,
        "uid": new.uid,
        "namespace": new.namespace,
        "name": new.name,
        "flow_name": new.flow_name,
        "flow_revision": new.flow_revision,
        "inputs": Json(new.inputs),
        "events": Json(new.events),
        "integration": Json(new.integration),
        "options": Json(new.options),
        "queue": new.queue,
        "priority": new.priority,
        "start_timeout": new.start_timeout_seconds,
        "phase": "Created" if new.held else "Pending",
        "first_run": workflow_id(new.id, 1),
        "nodes_total": new.nodes_total,
        "held": new.held,
        "breakpoints": list(new.breakpoints),
        "on_stop": new.on_stop,
        "resources": new.resources,
        "step": new.step,
        "resume": new.resume,
        "retry": new.retry,
        "used": _used(new),
        "generation": new.generation,
        "namespace_uid": new.namespace_uid,
        "announcement": Json(_announcement(new)),
    } | flow_revisions.row(new.flow_spec)


def _used(new: NewExecution) -> list[str]:
    used: tuple[str, ...] = ()
    for kind, token in ((TokenKind.STEP, new.step), (TokenKind.RESUME, new.resume), (TokenKind.RETRY, new.retry)):
        used = with_token(kind, token, used=used, last="")
    return list(used)


def _announcement(new: NewExecution) -> dict[str, Any]:
    return {
        "executionId": new.id,
        "namespace": new.namespace,
        "name": new.name,
        "flow": {"name": new.flow_name, "revision": new.flow_revision, "nodes": new.nodes_total},
        "rootExecutionId": new.id,
        "parentExecutionId": None,
        "depth": 0,
    }


async def _check_same(connection: Connection, new: NewExecution) -> None:
    cursor = await connection.execute("SELECT uid FROM chaingraph.executions WHERE id = %s", (new.id,))
    row = await cursor.fetchone()
    if row is None or row[0] != new.uid:
        raise ConflictingExecution(
            f"execution id {new.id} of {new.namespace}/{new.name} (UID {new.uid}) is taken by "
            f"{'another id with the same UID' if row is None else f'the resource with UID {row[0]}'}"
        )
