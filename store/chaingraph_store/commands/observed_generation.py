"""The generation of a resource that was obeyed last: it keeps an operator that is behind from carrying out an old spec.

Every command of a spec comes with the generation that it was read at, and under the row's lock it is held against the
last one that was obeyed. Called by the operator, and used by `control` and `retrying`. See docs/decisions/0003.
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
    """Nothing was done, because `obeyed`, a later generation than that of the command, was obeyed before."""

    obeyed: int


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
    """Records that the spec of this generation asks for nothing, so that an earlier one is not carried out any more.

    A generation goes back when the API server's data were restored from a backup. Then it is recorded as well, once
    the caller has made sure that there is no later one.

    Args:
        seen: the generation that the row had obeyed when the caller made sure.
        tokens: what the spec has. Those that were used stay known.
        on_stop: `children.onStop` as the spec has it; None leaves it as it is.

    Returns:
        None when it is recorded, or there is no such execution.
    """
    cursor = await connection.execute(_LOCK, (execution,))
    row = await cursor.fetchone()
    if row is None:
        return None
    obeyed, used, *last = row
    if obeyed > generation and obeyed != seen:
        return Stale(obeyed)
    for kind, former in zip((TokenKind.STEP, TokenKind.RESUME, TokenKind.RETRY), last, strict=True):
        token = tokens.get(kind, "")
        if not asks(kind, token, used=used, last=former):
            used = with_token(kind, token, used=used, last=former)
    await connection.execute(_HEED, {"id": execution, "generation": generation, "used": list(used), "on_stop": on_stop})
    return None
