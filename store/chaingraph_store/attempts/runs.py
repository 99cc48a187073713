"""A running attempt in the ledger: claim, flush, end.

Every write is fenced: it names the owner epoch of the claim, and finds no row once another worker, a stop or a
hand-back has moved the attempt on. A flush is one statement, so one round trip and one transaction: the journal, the
events with their dense indices, and the row change together or not at all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from datetime import datetime
from typing import Final

from psycopg.types.json import Json

from chaingraph_store import signals
from chaingraph_store.attempts.running_nodes import RunningNode
from chaingraph_store.errors import OwnershipLost
from chaingraph_store.events import PAUSE_TYPES, PAUSED, STARTED
from chaingraph_store.ids import ExecutionId, WorkflowId
from chaingraph_store.ledger import CHANGES, CONTROL, Connection, plain
from chaingraph_store.queue.dispatch import GIVEN
from chaingraph_store.queue.pinning import NO_BUILD, Build, PinnedElsewhere, has_worker
from chaingraph_store.raw_json import RawJson, unparsed
from chaingraph_store.tenancy.policies import of_namespace

WAITING: Final = "waiting"
"""The outcome of a journal entry of a node that waits, as the engine writes it."""


@dataclass(frozen=True, slots=True)
class Claim:
    """An attempt that this worker owns, and the epoch that fences its writes. User data is unparsed JSON."""

    execution_id: ExecutionId
    epoch: int
    namespace: str
    name: str
    attempt: int
    flow_spec: bytes
    inputs: bytes
    events: bytes
    integration: bytes
    options: bytes
    root_id: ExecutionId
    parent_id: ExecutionId | None
    depth: int
    started_at: datetime
    started_before: bool
    """flow:started is in the log of this attempt. A worker may be lost between its claim and its first flush."""
    run: int
    paused: bool
    """It starts paused."""
    pause_logged: bool
    """flow:paused is the last of flow:paused and flow:resumed in the log of this attempt."""
    pause_node: str
    breakpoints: list[str]
    control_seq: int
    """Number of the last command included in this claim. Later ones come as messages."""
    applied_seq: int
    """Number of the last command that an earlier engine has carried out."""
    steps_owed: int
    ran_ms: int
    held_nodes: list[str]
    """The nodes that were running or held when the previous run of this attempt ended."""
    next_event_index: int
    queue: str
    waited_seconds: float | None
    """Time from its creation to this first claim. None for later claims, executions created paused, and children."""
    nodes_ended: int
    """Number of finished nodes when the previous run of this attempt ended."""
    subflow: str
    """The subflow of `flow_spec` that it runs as its flow; '' for the flow itself."""
    called: bool
    """A node of its parent has called it, with inputs that nobody has checked."""
    calls: int
    """Number of its children that its nodes have called."""
    egress: list[str]
    """CIDRs from its namespace's policy that its HTTP nodes may reach besides public addresses."""
    journal: bytes
    """The finished and the waiting nodes, as `[[attempt, record], …]`: the attempt that each belongs to, and the
    engine's record of it."""
    signals: bytes
    """The accepted signals up to `control_seq`, as `signals.accepted` returns them."""


@dataclass(frozen=True, slots=True)
class JournalEntry:
    """A finished node, or one that waits, which its end replaces. `record` is the engine's own, as JSON."""

    node_id: str
    outcome: str
    record: bytes


@dataclass(frozen=True, slots=True)
class LogEntry:
    """An event without an index yet. `timestamp` in milliseconds since the epoch; `data` is JSON."""

    type: str
    timestamp: int
    data: bytes


@dataclass(frozen=True, slots=True)
class AttemptProgress:
    """The node counts, and the running nodes.

    Attributes:
        running_nodes: the state of the first running and waiting nodes. They stay in the row when the attempt ends:
            those it interrupted.
    """

    total: int
    completed: int
    failed: int
    skipped: int
    running: int
    current_nodes: Sequence[str]
    running_nodes: Sequence[RunningNode] = ()
    waiting: int = 0


@dataclass(frozen=True, slots=True)
class AttemptEnd:
    """The end of an attempt. `phase`: Completed, Failed or Stopped. `children`: how many it has to spawn now."""

    phase: str
    outputs: bytes | None = None
    error_node: str = ""
    error_reason: str = ""
    error_message: str = ""
    error_details: bytes | None = None
    children: int = 0


@dataclass(frozen=True, slots=True)
class EngineControl:
    """The engine's state with respect to commands."""

    paused: bool
    pause_node: str
    applied_seq: int
    """Number of the last command that it has processed."""
    ran_ms: int
    """How long the attempt has run, without pauses."""
    steps_owed: int = 0
    """Steps that it has accepted and not made yet: they are not lost with its worker."""


@dataclass(frozen=True, slots=True)
class AttemptMoved:
    """An external change of an attempt. `phase` is None while it still belongs to its worker."""

    phase: str | None
    control_seq: int


_CONTROL_SEQ: Final = [field.name for field in fields(Claim)].index("control_seq")

# A pinned run is refused only while it waits, so that a claim whose answer was lost can be repeated.
_CLAIM: Final = f"""
WITH before AS (
  SELECT id, phase, queue, worker_pool, worker_version, flow_revision FROM chaingraph.executions
  WHERE id = %(id)s AND workflow_id = %(workflow)s AND phase IN ('Pending', 'Running', 'Paused') AND NOT parked
  FOR UPDATE
), given AS (
  SELECT before.id, before.flow_revision,
         before.phase = 'Pending' AND before.worker_version <> ''
         AND (before.worker_pool, before.worker_version) <> (%(pool)s, %(version)s)
         AND {has_worker("before")} AS elsewhere
  FROM before {GIVEN}
), run AS (
  UPDATE chaingraph.executions e
  SET phase = 'Running', owner_epoch = owner_epoch + 1, worker = %(worker)s, lost_worker = '',
      worker_pool = %(pool)s, worker_version = %(version)s,
      exit_subflow = CASE WHEN e.subflow = '' THEN f.exit_subflow ELSE '' END, exit_timeout_s = f.exit_timeout_s,
      started_at = coalesce(e.started_at, now()), change_seq = nextval('chaingraph.change_seq')
  FROM given JOIN chaingraph.flow_revisions f ON f.revision = given.flow_revision
  WHERE e.id = given.id AND NOT given.elsewhere
  RETURNING e.*, f.spec
)
SELECT run.id, run.owner_epoch, run.namespace, run.name, run.attempt, run.spec,
       run.inputs, run.events, run.integration, run.options, run.root_id, run.parent_id, run.depth,
       run.started_at, run.start_logged, run.run, run.paused, run.pause_logged, run.pause_node, run.breakpoints,
       run.control_seq, run.applied_seq, cardinality(run.step_seqs), run.ran_ms, run.current_nodes,
       run.next_event_index, run.queue,
       CASE WHEN run.started_at = now() AND run.attempt = 1 AND run.depth = 0 AND run.observed_generation <= 1
            THEN extract(epoch FROM now() - run.created_at)::float8 END,
       run.nodes_completed + run.nodes_failed + run.nodes_skipped, run.subflow, run.called_by <> '',
       run.children_called,
       coalesce({of_namespace("egress", "run.namespace")}, '{{}}'),
       (SELECT coalesce(json_agg(json_build_array(j.attempt, j.record)), '[]')
        FROM chaingraph.journal j WHERE j.execution_id = run.id),
       run.signal_count,
       CASE WHEN run.id IS NOT NULL THEN pg_notify(%(channel)s, run.id) END FROM given LEFT JOIN run USING (id)
"""  # noqa: S608 - put together of constants alone

_WRITE: Final = """
WITH run AS (
  UPDATE chaingraph.executions
  SET nodes_total = %(total)s, nodes_completed = %(completed)s, nodes_failed = %(failed)s,
      nodes_skipped = %(skipped)s, nodes_running = %(running)s, nodes_waiting = %(waiting)s,
      current_nodes = %(current)s, running_nodes = %(running_nodes)s,
      next_event_index = next_event_index + %(events)s,
      phase = %(phase)s, outputs = coalesce(%(outputs)b::json, outputs),
      error_node = coalesce(%(error_node)s, error_node),
      error_reason = coalesce(%(error_reason)s, error_reason),
      error_message = coalesce(%(error_message)s, error_message),
      error_details = coalesce(%(error_details)b::json, error_details),
      finished_at = CASE WHEN %(ends)s THEN now() END,
      paused = CASE WHEN %(ends)s THEN false WHEN pause_seq <= %(applied)s THEN %(paused)s ELSE paused END,
      pause_node = CASE WHEN %(ends)s THEN '' WHEN pause_seq <= %(applied)s THEN %(pause_node)s
                          ELSE pause_node END,
      start_logged = start_logged OR %(start_logged)s,
      pause_logged = coalesce(%(pause_logged)s, pause_logged), applied_seq = %(applied)s, ran_ms = %(ran_ms)s,
      -- Keep the steps that the engine has not seen, and the last of those that it has accepted and still owes. The
      -- bucket of a number in a rising list is the count of numbers in it that are not greater.
      step_seqs = CASE WHEN %(ends)s THEN '{}'
                       ELSE step_seqs[greatest(1, 1 + width_bucket(%(applied)s, step_seqs) - %(steps_owed)s):] END,
      children_total = children_total + %(children)s, children_active = children_active + %(children)s,
      change_seq = nextval('chaingraph.change_seq')
  WHERE id = %(id)s AND owner_epoch = %(epoch)s AND phase IN ('Running', 'Paused') AND NOT parked
    AND next_event_index = coalesce(%(first)s, next_event_index)
  RETURNING id, root_id, attempt, next_event_index - %(events)s AS base
), journaled AS (
  INSERT INTO chaingraph.journal (execution_id, node_id, attempt, outcome, record)
  SELECT run.id, entry.node_id, run.attempt, entry.outcome, entry.record
  FROM run, unnest(%(nodes)s::text[], %(outcomes)s::text[], %(records)b::json[]) AS entry (node_id, outcome, record)
  ON CONFLICT (execution_id, node_id)
  DO UPDATE SET attempt = excluded.attempt, outcome = excluded.outcome, record = excluded.record
), published AS (
  INSERT INTO chaingraph.events (execution_id, index, type, at, data)
  SELECT run.id, run.base + entry.position - 1, entry.type, to_timestamp(entry.at / 1000.0), entry.data
  FROM run, unnest(%(types)s::text[], %(times)s::bigint[], %(datas)b::json[])
       WITH ORDINALITY AS entry (type, at, data, position)
)
"""
_ANSWER: Final = """SELECT base, pg_notify(%(channel)s, id),
  CASE WHEN %(told)s::text IS NOT NULL THEN pg_notify(%(control)s, %(told)s) END FROM run"""
_GROWN: Final = """, grown AS (
  INSERT INTO chaingraph.trees (root_id, size) SELECT root_id, 1 + %(children)s FROM run
  ON CONFLICT (root_id) DO UPDATE SET size = trees.size + %(children)s
)
"""
_FLUSH: Final = _WRITE + _ANSWER
_END_OF_PARENT: Final = _WRITE + _GROWN + _ANSWER
"""Executions that never spawn pay nothing for it."""


async def claim(
    connection: Connection, execution: ExecutionId, *, workflow: WorkflowId, worker: str, build: Build = NO_BUILD
) -> Claim | None:
    """Claim the run for this worker: phase Running, a new owner epoch, and all data needed to run it.

    The execution is pinned to the worker's build from now on.

    Returns:
        None when there is nothing to run: it has ended or is parked, another run is current, or DBOS has given the
        workflow to another executor.

    Raises:
        PinnedElsewhere: it is pinned to another build with live workers: use `pinning.send`.
    """
    cursor = unparsed(connection)
    await cursor.execute(
        _CLAIM,
        {"id": execution, "workflow": workflow, "worker": worker, "channel": CHANGES}
        | {"pool": build.pool, "version": build.version},
    )
    row = await cursor.fetchone()
    if row is None:
        return None
    if row[0] is None:
        raise PinnedElsewhere(execution)
    *values, count, _ = row
    # In a statement of its own: that of the claim may have waited for the one that accepted a signal, and would not see
    # it. Nearly no execution has any.
    found = await signals.accepted(connection, execution, until=row[_CONTROL_SEQ]) if count else b"[]"
    return Claim(*(*values, found))


async def flush(
    connection: Connection,
    claimed: Claim,
    *,
    journal: Sequence[JournalEntry],
    log: Sequence[LogEntry],
    progress: AttemptProgress,
    control: EngineControl | None = None,
    end: AttemptEnd | None = None,
    first: int | None = None,
) -> int:
    """Write everything since the last flush and, with `end`, the attempt's end.

    Args:
        control: taken at the same moment as `log`. None: as it was claimed. Its pause applies unless the row has a
            later PAUSE or RESUME than the engine has processed.
        first: the index that the first of these events must get. With it, a flush whose answer was lost can be repeated
            without writing twice. While an attempt runs, only its worker adds events.

    Returns:
        The index of the first of these events.

    Raises:
        OwnershipLost: the attempt no longer belongs to this worker; nothing was written.
    """
    latest = {entry.node_id: entry for entry in journal}.values()  # one may have waited and ended since the last flush
    state, pauses = control or _as_claimed(claimed), [entry.type for entry in log if entry.type in PAUSE_TYPES]
    pause_logged = False if end else pauses[-1] == PAUSED if pauses else None
    cursor = await connection.execute(
        _END_OF_PARENT if end and end.children else _FLUSH,
        {
            "id": claimed.execution_id,
            "epoch": claimed.epoch,
            "first": first,
            "channel": CHANGES,
            "control": CONTROL,
            # A parent that waits for it: its worker looks immediately.
            "told": claimed.parent_id if end is not None and claimed.called else None,
            "total": progress.total,
            "completed": progress.completed,
            "failed": progress.failed,
            "skipped": progress.skipped,
            "running": progress.running,
            "waiting": progress.waiting,
            "current": list(progress.current_nodes),
            "running_nodes": Json([asdict(each) for each in progress.running_nodes]),
            "events": len(log),
            "phase": end.phase if end else "Paused" if state.paused else "Running",
            "ends": end is not None,
            "children": end.children if end else 0,
            "paused": state.paused,
            "pause_node": state.pause_node,
            "start_logged": any(entry.type == STARTED for entry in log),
            "pause_logged": pause_logged,
            "applied": state.applied_seq,
            "steps_owed": state.steps_owed,
            "ran_ms": state.ran_ms,
            "outputs": RawJson(end.outputs) if end and end.outputs is not None else None,
            "error_node": end.error_node if end else None,
            "error_reason": end.error_reason if end else None,
            "error_message": plain(end.error_message) if end else None,
            "error_details": RawJson(end.error_details) if end and end.error_details is not None else None,
            "nodes": [entry.node_id for entry in latest],
            "outcomes": [entry.outcome for entry in latest],
            "records": [RawJson(entry.record) for entry in latest],
            "types": [entry.type for entry in log],
            "times": [entry.timestamp for entry in log],
            "datas": [RawJson(entry.data) for entry in log],
        },
    )
    row = await cursor.fetchone()
    if row is None:
        if first is not None and await _was_written(connection, claimed, next_index=first + len(log), end=end):
            return first
        raise OwnershipLost(claimed.execution_id, claimed.epoch)
    return int(row[0])


async def _was_written(connection: Connection, claimed: Claim, *, next_index: int, end: AttemptEnd | None) -> bool:
    """Whether a flush was written before, by a statement whose answer was lost."""
    cursor = await connection.execute(
        "SELECT 1 FROM chaingraph.executions WHERE id = %s AND owner_epoch = %s AND next_event_index = %s"
        " AND CASE WHEN %s::text IS NULL THEN phase IN ('Running', 'Paused') AND NOT parked ELSE phase = %s END",
        (claimed.execution_id, claimed.epoch, next_index, end.phase if end else None, end.phase if end else None),
    )
    return await cursor.fetchone() is not None


def _as_claimed(claimed: Claim) -> EngineControl:
    return EngineControl(
        paused=claimed.paused,
        pause_node=claimed.pause_node,
        applied_seq=claimed.control_seq,
        ran_ms=claimed.ran_ms,
        steps_owed=claimed.steps_owed,
    )


async def not_ours(connection: Connection, claims: Sequence[Claim]) -> dict[ExecutionId, AttemptMoved]:
    """Return those of these attempts that were moved on, or got a command, since they were claimed."""
    cursor = await connection.execute(
        "SELECT mine.id, coalesce(e.phase, 'deleted'), coalesce(e.control_seq, 0),"
        "   e.owner_epoch IS DISTINCT FROM mine.epoch OR e.parked OR e.phase NOT IN ('Running', 'Paused')"
        " FROM unnest(%s::text[], %s::bigint[], %s::bigint[]) AS mine (id, epoch, seq)"
        " LEFT JOIN chaingraph.executions e ON e.id = mine.id"
        " WHERE e.owner_epoch IS DISTINCT FROM mine.epoch OR e.parked OR e.phase NOT IN ('Running', 'Paused')"
        "   OR e.control_seq > mine.seq",
        (
            [claim.execution_id for claim in claims],
            [claim.epoch for claim in claims],
            [claim.control_seq for claim in claims],
        ),
    )
    return {ExecutionId(row[0]): AttemptMoved(row[1] if row[3] else None, row[2]) for row in await cursor.fetchall()}
