"""The table `operators`, and the fence around all writes of an operator.

A replaced operator may not know it yet: it was frozen, or cut off from the API server. So its transactions start with a
check of its leadership. A new leader waits for open transactions of the former one, so that nothing of it is written
afterwards.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from chaingraph_store.errors import Superseded
from chaingraph_store.ledger import Connection

_LOCK: Final = "SELECT pg_advisory_xact_lock(-995800407, 1)"
"""Excludes `chaingraph.may_operate`, which takes this lock in shared mode."""


@dataclass(frozen=True, slots=True)
class Tenure:
    """The term of one leader. `lease`: the Lease that it was elected by, as namespace/name."""

    lease: str
    epoch: int


class Fence:
    """This operator's leadership, checked at the start of each of its transactions.

    Nothing is checked before it has recognised its cluster: until then it only reads.
    """

    def __init__(self) -> None:
        self.adoptions: int | None = None
        """How often the ledger had changed clusters when this operator was admitted."""
        self.tenure: Tenure | None = None
        """None without leader election."""

    async def hold(self, connection: Connection) -> None:
        """Keep this operator's leadership until the transaction ends.

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
            return f"the ledger now belongs to another cluster: to {owner}"
        assert self.tenure is not None, "without a tenure only the cluster is checked"
        cursor = await connection.execute(
            "SELECT holder, epoch, taken_at FROM chaingraph.operators WHERE lease = %s", (self.tenure.lease,)
        )
        row = await cursor.fetchone()
        if row is None:
            return f"the Lease {self.tenure.lease} has no leader in the database any more: the database was restored"
        return f"{row[0]} leads since {row[2].isoformat()} (epoch {row[1]}, this operator's was {self.tenure.epoch})"


async def take(connection: Connection, lease: str, holder: str) -> Tenure:
    """Begin a new leader's term, inside the caller's transaction. Waits for open transactions of the former one."""
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
    """Wait until all operators' transactions have ended, and block new ones until the caller's has."""
    await connection.execute(_LOCK)
