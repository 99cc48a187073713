"""The table `flows`: the flow that each name refers to at this moment.

The operator keeps it up to date, for executions that emit events to another Flow. Their children pin the revision that
they find here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from psycopg.types.json import Json

from chaingraph_store.flows import flow_revisions
from chaingraph_store.ledger import Connection, plain

FlowName = tuple[str, str]
"""Namespace and name."""


@dataclass(frozen=True, slots=True)
class Named:
    """The target of a name: a revision with its number of nodes, or the problem that prevents it from running.

    With both, it can run with inputs only. `reason`: the problem in one word, which becomes the reason of the children
    that cannot be created.
    """

    revision: str | None
    nodes: int = 0
    problem: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Content:
    """The content of a revision: the flow, and the values of its inputs when none are given."""

    spec: Mapping[str, Any]
    inputs: Mapping[str, Any]


_PUBLISH: Final = f"""
WITH revised AS (
  INSERT INTO chaingraph.flow_revisions (revision, spec, exit_subflow, exit_timeout_s)
  SELECT %(flow_revision)s, %(flow_spec)s::text::json, %(exit_subflow)s, %(exit_timeout)s
  WHERE %(flow_revision)s::text IS NOT NULL
  ON CONFLICT (revision) DO NOTHING
)
INSERT INTO chaingraph.flows AS f (namespace, name, revision, nodes, inputs, problem, reason)
SELECT %(namespace)s, %(name)s, %(flow_revision)s, %(nodes)s, %(inputs)s, %(problem)s, %(reason)s
WHERE NOT {flow_revisions.IS_ANOTHER}
ON CONFLICT (namespace, name) DO UPDATE
SET revision = excluded.revision, nodes = excluded.nodes, inputs = excluded.inputs, problem = excluded.problem,
    reason = excluded.reason, updated_at = now()
WHERE (f.revision, f.nodes, f.problem, f.reason)
      IS DISTINCT FROM (excluded.revision, excluded.nodes, excluded.problem, excluded.reason)
"""  # noqa: S608 - put together of constants alone


async def publish(connection: Connection, flow: FlowName, named: Named, content: Content | None) -> bool:
    """Set the target of a name. One statement, so one transaction.

    Args:
        content: of the revision; None with a problem instead.

    Returns:
        Whether it has changed.

    Raises:
        psycopg.errors.ForeignKeyViolation: the unused revision is being removed at this moment. Retry.
        ConflictingRevision: the ledger has another flow under the revision.
    """
    namespace, name = flow
    cursor = await connection.execute(
        _PUBLISH,
        {
            "namespace": namespace,
            "name": name,
            "flow_revision": named.revision,
            "nodes": named.nodes,
            "inputs": Json(content.inputs if content is not None else {}),
            "problem": plain(named.problem),
            "reason": named.reason,
        }
        | flow_revisions.row(content.spec if content is not None else {}),
    )
    if cursor.rowcount == 0 and named.revision is not None and content is not None:
        await flow_revisions.check(connection, named.revision, content.spec)
    return cursor.rowcount == 1


async def forget(connection: Connection, flow: FlowName) -> bool:
    """Remove the name of a deleted Flow.

    Returns:
        Whether it existed.
    """
    cursor = await connection.execute("DELETE FROM chaingraph.flows WHERE namespace = %s AND name = %s", flow)
    return cursor.rowcount == 1


async def published(connection: Connection, *, namespaces: Sequence[str] | None) -> dict[FlowName, Named]:
    """Return the targets of all names. `namespaces` None means all."""
    cursor = await connection.execute(
        "SELECT namespace, name, revision, nodes, problem, reason FROM chaingraph.flows"
        " WHERE %(all)s OR namespace = ANY(%(namespaces)s)",
        {"all": namespaces is None, "namespaces": list(namespaces or ())},
    )
    return {(row[0], row[1]): Named(row[2], row[3], row[4], row[5]) for row in await cursor.fetchall()}
