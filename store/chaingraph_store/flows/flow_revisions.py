"""The table `flow_revisions`: the content of each revision that an execution or a name uses.

Content is stored in canonical form, so that equal contents are equal texts. A revision with other content than the
given one is never used instead: the database was changed from outside, or two contents have the same hash.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from chaingraph_crds.flow import OnExit
from chaingraph_crds.node_paths import flow_of, places
from chaingraph_flow.revision import canonical
from chaingraph_store.errors import ConflictingRevision
from chaingraph_store.ledger import Connection

IS_ANOTHER: Final = (
    "EXISTS (SELECT FROM chaingraph.flow_revisions known"
    " WHERE known.revision = %(flow_revision)s AND known.spec::text <> %(flow_spec)s::text)"
)
"""Whether the revision exists with other content. An expression of SQL."""


def text(spec: Mapping[str, Any]) -> str:
    """Return the content as the table stores it."""
    return canonical(spec).decode()


def row(spec: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters `flow_spec`, `exit_subflow` and `exit_timeout` of a statement that adds a revision.

    PostgreSQL could not read them from the content: it rejects a NUL in any text of it.
    """
    on_exit = spec.get("onExit") or {}
    timeout = on_exit.get("timeoutSeconds", OnExit.model_fields["timeout_seconds"].default)
    exits = {"exit_subflow": on_exit.get("subflow", ""), "exit_timeout": timeout if on_exit else 0}
    return {"flow_spec": text(spec), **exits}


async def node_places(connection: Connection, revision: str, subflow: str = "") -> frozenset[str] | None:
    """Return the places of a flow's nodes, with those in its calls; None when there is no such revision.

    Args:
        subflow: the subflow that takes the place of the flow, or ''.
    """
    flow = await spec(connection, revision)
    found = None if flow is None else flow_of(flow, subflow)
    return None if found is None else frozenset(place for _, place, _ in places(found))


async def spec(connection: Connection, revision: str) -> dict[str, Any] | None:
    """Return the content of a flow; None when there is no such revision."""
    # PostgreSQL cannot parse JSON with \\u0000 in strings, which a node's settings may have. So read the whole flow.
    cursor = await connection.execute("SELECT spec FROM chaingraph.flow_revisions WHERE revision = %s", (revision,))
    row = await cursor.fetchone()
    return None if row is None else dict(row[0])


async def check(connection: Connection, revision: str, spec: Mapping[str, Any]) -> None:
    """Check that a revision, if it exists, has this content.

    Raises:
        ConflictingRevision: it has other content.
    """
    cursor = await connection.execute(
        "SELECT 1 FROM chaingraph.flow_revisions WHERE revision = %s AND spec::text <> %s", (revision, text(spec))
    )
    if await cursor.fetchone():
        raise ConflictingRevision(
            f"the database has another flow under revision {revision}: it was changed in the table "
            "chaingraph.flow_revisions, or forged. Nothing was created. Find out who can write to this database, "
            "remove the executions of that revision and its row, then create the Execution again"
        )
