"""The observed generation of a resource: it keeps an outdated operator from carrying out an old spec.

Every command comes with the generation of its spec. Under the row's lock, it is compared with the last observed one.
See docs/decisions/0003.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from chaingraph_store.commands.tokens import TokenKind, asks, with_token
from chaingraph_store.ids import ExecutionId
from chaingraph_store.ledger import Connection


@dataclass(frozen=True, slots=True)
class Stale:
    """The command had no effect: a later generation than its own, `observed`, was recorded before."""

    observed: int


_LOCK: Final = """
SELECT observed_generation, used_tokens, step_token, resume_token, retry_token FROM chaingraph.executions
WHERE id = %s FOR UPDATE
"""
_HEED: Final = """
UPDATE chaingraph.executions
SET observed_generation = %(generation)s, used_tokens = %(used)s, on_stop = coalesce(%(on_stop)s, on_stop)
WHERE id = %(id)s
"""


async def observe(
    connection: Connection,
    execution: ExecutionId,
    generation: int,
    *,
    seen: int,
    tokens: Mapping[TokenKind, str],
    on_stop: str | None = None,
) -> Stale | None:
    """Record that the spec of this generation requests nothing, so that no earlier one takes effect any more.

    A generation goes back when the API server was restored from a backup. It is recorded then too, once the caller has
    made sure that there is no later one.

    Args:
        seen: the row's observed generation when the caller made sure.
        tokens: the spec's tokens. Used ones stay known.
        on_stop: `children.onStop` of the spec; None to keep it.

    Returns:
        None when it is recorded, or there is no such execution.
    """
    cursor = await connection.execute(_LOCK, (execution,))
    row = await cursor.fetchone()
    if row is None:
        return None
    observed, used, *last = row
    if observed > generation and observed != seen:
        return Stale(observed)
    for kind, former in zip((TokenKind.STEP, TokenKind.RESUME, TokenKind.RETRY), last, strict=True):
        token = tokens.get(kind, "")
        if not asks(kind, token, used=used, last=former):
            used = with_token(kind, token, used=used, last=former)
    await connection.execute(_HEED, {"id": execution, "generation": generation, "used": list(used), "on_stop": on_stop})
    return None
