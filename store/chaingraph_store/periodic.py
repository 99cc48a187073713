"""The table `upkeep`: periodic tasks that only one of all processes does."""

from __future__ import annotations

from typing import Final, LiteralString

from chaingraph_store.ledger import Connection

TASKS: Final = ("stranded", "forget")
_OWN: Final = "|| coalesce('/' || nullif(chaingraph.pool_role(), ''), '')"
"""Suffix of a task's name: workers with a pool's role do it separately, for their pool."""
_BEGIN: Final = f"""
UPDATE chaingraph.upkeep SET due_at = now() + make_interval(secs => %(every)s)
WHERE task = (SELECT task FROM chaingraph.upkeep WHERE task = %(task)s::text {_OWN} AND due_at <= now()
              FOR UPDATE SKIP LOCKED)
RETURNING task
"""  # noqa: S608 - put together of constants alone


def own_task(task: str, role: str) -> str:
    """Return the name under which the workers of a pool's role do a task."""
    return f"{task}/{role}"


def is_due(task: LiteralString) -> LiteralString:
    """Return an SQL expression: whether a task is due."""
    return f"EXISTS (SELECT FROM chaingraph.upkeep WHERE task = '{task}' {_OWN} AND due_at <= now())"


async def begin(connection: Connection, task: str, *, every_seconds: float) -> bool:
    """Take a due task, inside the caller's transaction, which does it.

    Returns:
        False when it is not due, or another process is doing it.
    """
    cursor = await connection.execute(_BEGIN, {"task": task, "every": every_seconds})
    return await cursor.fetchone() is not None
