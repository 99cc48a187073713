"""The table `cluster`: which cluster the ledger belongs to.

An execution stands for a resource, by its UID. To an operator of another cluster all resources are gone, and it would
stop, and later remove, every execution that it finds. So the first operator leaves its cluster's identity here, and one
that comes from elsewhere is refused.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

from chaingraph_store.errors import ForeignLedger
from chaingraph_store.ledger import Connection
from chaingraph_store.upkeep import operators

ADOPT_VARIABLE: Final = "CHAINGRAPH_ADOPT_CLUSTER"


@dataclass(frozen=True, slots=True)
class ClusterIdentity:
    """How a cluster is told from others. What could not be read is empty; one of the two is not.

    Attributes:
        uid: of the namespace kube-system, which lives as long as its cluster.
        authority: fingerprint of the certificates that the API server is verified by. It takes no permission to read,
            but changes when they are renewed, and clusters behind one proxy share it.
    """

    uid: str
    authority: str

    def __str__(self) -> str:
        if self.uid:
            return f"the cluster whose namespace kube-system has the UID {self.uid}"
        return f"the cluster with the certificate authority {self.authority}"

    @property
    def name(self) -> str:
        """What it is called in `CHAINGRAPH_ADOPT_CLUSTER`."""
        return self.uid or self.authority


@dataclass(frozen=True, slots=True)
class Recognised:
    """The identity that is recorded from now on. `adoptions`: how often the ledger has changed clusters."""

    identity: ClusterIdentity
    adoptions: int


class ClusterMatch(Enum):
    """Whether two identities are of one cluster."""

    SAME = auto()
    OTHER = auto()
    UNCLEAR = auto()
    """They have nothing in common that could be compared, or only certificates, which differ when they are renewed."""


def compare(recorded: ClusterIdentity, seen: ClusterIdentity) -> ClusterMatch:
    """By the UIDs where both have one, else by the certificates. Pure."""
    if recorded.uid and seen.uid:
        return ClusterMatch.SAME if recorded.uid == seen.uid else ClusterMatch.OTHER
    if recorded.authority and recorded.authority == seen.authority:
        return ClusterMatch.SAME
    return ClusterMatch.UNCLEAR


async def recognise(connection: Connection, seen: ClusterIdentity, *, adopt: str = "") -> Recognised:
    """Checks that the ledger is this cluster's, inside the caller's transaction. A ledger of nobody becomes its own.

    What is seen completes what is recorded: a UID that could not be read before, certificates that were renewed.
    An adoption waits for what the operators of the former cluster have under way, and fences them.

    Args:
        adopt: the recorded identity's name, to make the ledger this cluster's on purpose. Of no effect once it is.

    Raises:
        ForeignLedger: it is another cluster's, or that cannot be told.
    """
    if adopt:
        # Before the row is locked, in the order of those who ask again while they operate.
        await operators.wait_for_others(connection)
    recorded = await _recorded(connection)
    if recorded is None:
        await connection.execute(
            "INSERT INTO chaingraph.cluster (uid, authority) VALUES (%s, %s) ON CONFLICT DO NOTHING",
            (seen.uid, seen.authority),
        )
        recorded = await _recorded(connection)
        assert recorded is not None, "the row was written just now, and is never removed"
    owner = recorded.identity
    verdict = compare(owner, seen)
    if verdict is ClusterMatch.SAME:
        known = ClusterIdentity(seen.uid or owner.uid, seen.authority or owner.authority)
        if known != owner:
            await _record(connection, known)
        return Recognised(known, recorded.adoptions)
    if adopt and adopt in (owner.uid, owner.authority):
        await _record(connection, seen, adopted_from=owner.name)
        return Recognised(seen, recorded.adoptions + 1)
    raise ForeignLedger(_refusal(owner, seen, verdict))


def _refusal(recorded: ClusterIdentity, seen: ClusterIdentity, verdict: ClusterMatch) -> str:
    adoption = (
        f"stop its operator and set {ADOPT_VARIABLE}={recorded.name}; executions whose resources do not exist in this "
        "cluster are then stopped"
    )
    if verdict is ClusterMatch.OTHER:
        return (
            f"the database belongs to another cluster: to {recorded}, and this is {seen}. Give this cluster a database "
            f"of its own (DATABASE_URL_EXECUTIONS). To take the other cluster's place on purpose, {adoption}"
        )
    return (
        f"it cannot be told whether the database belongs to this cluster: it belongs to {recorded}, and this is "
        f"{seen}. Allow the operator to get the namespace kube-system, or give this cluster a database of its own "
        f"(DATABASE_URL_EXECUTIONS). If it is the same cluster with new certificates, set {ADOPT_VARIABLE}="
        f"{recorded.name}. To take another cluster's place on purpose, {adoption}"
    )


async def _recorded(connection: Connection) -> Recognised | None:
    cursor = await connection.execute("SELECT uid, authority, adoptions FROM chaingraph.cluster FOR UPDATE")
    row = await cursor.fetchone()
    return None if row is None else Recognised(ClusterIdentity(row[0], row[1]), row[2])


async def _record(connection: Connection, identity: ClusterIdentity, *, adopted_from: str | None = None) -> None:
    await connection.execute(
        "UPDATE chaingraph.cluster SET uid = %(uid)s, authority = %(authority)s, recorded_at = now(),"
        " adopted_from = coalesce(%(from)s, adopted_from), adoptions = adoptions + (%(from)s::text IS NOT NULL)::int",
        {"uid": identity.uid, "authority": identity.authority, "from": adopted_from},
    )
