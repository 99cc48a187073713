"""The table `operators`, and the fence around everything that an operator writes.

An operator that was replaced may not know it yet: it was frozen, or cut off from the API server. So its transactions
begin with the question whether it still has its place. Who takes the place waits until what was under way has ended,
so nothing of the former is written after that.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from chaingraph_store.errors import Superseded
from chaingraph_store.ledger import Connection

_LOCK: Final = "SELECT pg_advisory_xact_lock(-995800407, 1)"
"""Against `chaingraph.may_operate`, which shares it."""


@dataclass(frozen=True, slots=True)
class Tenure:
    """The time of one leader. `lease`: the Lease that it was elected by, as namespace/name."""

    lease: str
    epoch: int


class Fence:
    """What this operator believes of its place, checked at the beginning of each of its transactions.

    Before it has recognised its cluster nothing is checked: it only asks until then.
    """

    def __init__(self) -> None:
        self.adoptions: int | None = None
        """The number of times that the ledger had changed clusters when this operator was let in."""
        self.tenure: Tenure | None = None
        """None where operators are not elected."""

    async def hold(self, connection: Connection) -> None:
        """Keeps this operator's place until the transaction ends.

        Raises:
            Superseded: it has lost it.
        """
        if self.adoptions is None:
            return
        lease, epoch = (self.tenure.lease, self.tenure.epoch) if self.tenure else (None, None)
        cursor = await connection.execute("SELECT chaingraph.may_operate(%s, %s, %s)", (self.adoptions, lease, epoch))
        row = await cursor.fetchone()
        if row is None or not row[0]:
            raise Superseded(await self._by_whom(connection))

    async def _by_whom(self, connection: Connection) -> str:
        cursor = await connection.execute("SELECT adoptions, uid, authority FROM chaingraph.cluster")
        row = await cursor.fetchone()
        if row is None or row[0] != self.adoptions:
            owner = (row[1] or row[2]) if row else "nobody"
            return f"the ledger belongs to another cluster now: to {owner}"
        assert self.tenure is not None, "without a tenure only the cluster is asked for"
        cursor = await connection.execute(
            "SELECT holder, epoch, taken_at FROM chaingraph.operators WHERE lease = %s", (self.tenure.lease,)
        )
        row = await cursor.fetchone()
        if row is None:
            return f"nobody leads by the Lease {self.tenure.lease} any more: the database was restored"
        return f"{row[0]} leads since {row[2].isoformat()} (epoch {row[1]}, this operator's was {self.tenure.epoch})"


async def take(connection: Connection, lease: str, holder: str) -> Tenure:
    """Begins the time of a new leader, inside the caller's transaction. Waits for what the former has under way."""
    await connection.execute(_LOCK)
    cursor = await connection.execute(
        "INSERT INTO chaingraph.operators (lease, epoch, holder) VALUES (%s, 1, %s)"
        " ON CONFLICT (lease) DO UPDATE SET epoch = operators.epoch + 1, holder = excluded.holder, taken_at = now()"
        " RETURNING epoch",
        (lease, holder),
    )
    row = await cursor.fetchone()
    assert row is not None, "an upsert returns its row"
    return Tenure(lease, row[0])


async def wait_for_others(connection: Connection) -> None:
    """Waits until all operators' transactions have ended, and keeps new ones waiting until the caller's has."""
    await connection.execute(_LOCK)
