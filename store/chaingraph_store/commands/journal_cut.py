"""Cut the journal of an ended execution, so that a retry runs a part of it again, or another revision of its flow.

The cut is decided outside, by `chaingraph_flow.rerun`, and carried out in the transaction of the retry. It counts for
one attempt: after another retry, it has to be decided again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from psycopg.types.json import Json

from chaingraph_crds.node_paths import flow_of
from chaingraph_store.flows import flow_revisions
from chaingraph_store.ids import ExecutionId
from chaingraph_store.ledger import Connection

MAX_IN_HISTORY: Final = 20
"""Maximum nodes that a row's history names: the limit of a status."""
MAX_IN_EVENT: Final = 100


@dataclass(frozen=True, slots=True)
class EndedAttempt:
    """What a cut is decided from.

    Attributes:
        flow_spec: the flow that it ran; None for a child whose flow was not found.
        inputs: the values of the flow's inputs.
        events: the names of the events that started the execution.
        journal: the outcome of each entry.
        subflow: the subflow that it ran as its flow, or ''.
    """

    attempt: int
    flow_revision: str | None
    flow_spec: Mapping[str, Any] | None
    inputs: Mapping[str, Any]
    events: Sequence[str]
    journal: Mapping[str, str]
    subflow: str = ""


@dataclass(frozen=True, slots=True)
class NewRevision:
    """The revision that an execution runs from its next attempt on, with the values of the flow's inputs."""

    revision: str
    spec: Mapping[str, Any]
    nodes_total: int
    inputs: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class JournalCut:
    """A decided cut.

    Attributes:
        attempt: the attempt that it was decided for.
        node: the node to run again; '' for none.
        dropped: the entries of the journal to delete.
        kept: the number of finished nodes that keep their ends, of them `completed` completed.
        again: the finished nodes that run again.
        removed: the number of finished nodes that take part no more.
        flow: the revision to run; None for the same.
    """

    attempt: int
    node: str
    dropped: Sequence[str]
    kept: int
    completed: int
    again: Sequence[str]
    removed: int = 0
    flow: NewRevision | None = None

    def history(self, former_revision: str | None) -> dict[str, Any]:
        """Return what the history of the row says about it."""
        found = {"retriedNode": self.node, "flowRevision": former_revision if self.flow is not None else None}
        told = {"kept": self.kept, "runsAgain": list(self.again[:MAX_IN_HISTORY]), "runsAgainTotal": len(self.again)}
        return found | told | ({"removed": self.removed} if self.flow is not None else {})

    def event(self, attempt: int, former_revision: str | None) -> dict[str, Any]:
        """Return the data of the event flow:retried."""
        data: dict[str, Any] = {"attempt": attempt, "kept": self.kept}
        data |= {"runsAgain": list(self.again[:MAX_IN_EVENT]), "runsAgainTotal": len(self.again)}
        if self.node:
            data["node"] = self.node
        if self.flow is not None:
            revisions = {"flowRevision": self.flow.revision, "formerRevision": former_revision}
            data |= revisions | {"removed": self.removed}
        return data


async def ended_attempt(connection: Connection, execution: ExecutionId) -> EndedAttempt | None:
    """Read an ended execution; None when there is no such execution."""
    cursor = await connection.execute(
        "SELECT e.attempt, e.flow_revision, f.spec, e.subflow, e.inputs, e.events FROM chaingraph.executions e"
        " LEFT JOIN chaingraph.flow_revisions f ON f.revision = e.flow_revision WHERE e.id = %s",
        (execution,),
    )
    row = await cursor.fetchone()
    if row is None:
        return None
    # After the row: a later attempt does not pass for this one.
    cursor = await connection.execute(
        "SELECT node_id, outcome FROM chaingraph.journal WHERE execution_id = %s ORDER BY node_id", (execution,)
    )
    journal: dict[str, str] = dict(await cursor.fetchall())
    attempt, revision, spec, subflow, inputs, events = row
    flow = None if spec is None else flow_of(spec, subflow)
    return EndedAttempt(attempt, revision, flow, inputs, tuple(event["name"] for event in events), journal, subflow)


_ADD: Final = """
INSERT INTO chaingraph.flow_revisions (revision, spec, exit_subflow, exit_timeout_s)
VALUES (%(revision)s, %(flow_spec)s::text::json, %(exit_subflow)s, %(exit_timeout)s)
ON CONFLICT (revision) DO NOTHING
"""


async def add_revision(connection: Connection, flow: NewRevision) -> None:
    """Write the content of a revision.

    Raises:
        ConflictingRevision: the ledger has another flow under it.
    """
    await connection.execute(_ADD, {"revision": flow.revision} | flow_revisions.row(flow.spec))
    await flow_revisions.check(connection, flow.revision, flow.spec)


def columns(cut: JournalCut | None, *, from_start: bool) -> dict[str, Any]:
    """Return the parameters of a retry's statement that depend on the cut. Null keeps a column."""
    flow = cut.flow if cut is not None else None
    return {
        "completed": 0 if from_start else cut.completed if cut is not None else None,
        "dropped": list(cut.dropped) if cut is not None else [],
        "revision": flow.revision if flow is not None else None,
        "total": flow.nodes_total if flow is not None else None,
        "inputs": Json(flow.inputs) if flow is not None else None,
    }
