"""The table `flows`: which flow a name stands for at this moment.

Kept by the operator, for executions that emit events to another Flow; read by `spawning`, whose children pin the
revision that they find.
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
    """What a name stands for: a revision and how many nodes it has, or the problem that keeps it from being run.

    `reason`: the problem in one word, which becomes the reason of the children that cannot be made.
    """

    revision: str | None
    nodes: int = 0
    problem: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Content:
    """What goes with a revision: the flow itself, and the values that its inputs have when none are given."""

    spec: Mapping[str, Any]
    inputs: Mapping[str, Any]


_PUBLISH: Final = f"""
WITH revised AS (
  INSERT INTO chaingraph.flow_revisions (revision, spec) SELECT %(flow_revision)s, %(flow_spec)s::text::json
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
    """Says what a name stands for from now on. One statement, so one transaction.

    Args:
        content: of the revision; None where there is a problem instead.

    Returns:
        Whether that is new.

    Raises:
        psycopg.errors.ForeignKeyViolation: nobody has used the revision, and it is removed at this very moment. To be
            repeated.
        ConflictingRevision: the ledger has another flow under the revision.
    """
    namespace, name = flow
    cursor = await connection.execute(
        _PUBLISH,
        {
            "namespace": namespace,
            "name": name,
            "flow_revision": named.revision,
            "flow_spec": flow_revisions.text(content.spec if content is not None else {}),
            "nodes": named.nodes,
            "inputs": Json(content.inputs if content is not None else {}),
            "problem": plain(named.problem),
            "reason": named.reason,
        },
    )
    if cursor.rowcount == 0 and named.revision is not None and content is not None:
        await flow_revisions.check(connection, named.revision, content.spec)
    return cursor.rowcount == 1


async def forget(connection: Connection, flow: FlowName) -> bool:
    """There is no Flow of that name any more.

    Returns:
        Whether there was one.
    """
    cursor = await connection.execute("DELETE FROM chaingraph.flows WHERE namespace = %s AND name = %s", flow)
    return cursor.rowcount == 1


async def published(connection: Connection, *, namespaces: Sequence[str] | None) -> dict[FlowName, Named]:
    """What every name stands for. `namespaces` None means all."""
    cursor = await connection.execute(
        "SELECT namespace, name, revision, nodes, problem, reason FROM chaingraph.flows"
        " WHERE %(all)s OR namespace = ANY(%(namespaces)s)",
        {"all": namespaces is None, "namespaces": list(namespaces or ())},
    )
    return {(row[0], row[1]): Named(row[2], row[3], row[4], row[5]) for row in await cursor.fetchall()}
