"""The table `cluster`: the cluster that owns the ledger.

An execution represents a resource, by its UID. To an operator of another cluster all resources are gone, and it would
stop, and later remove, every execution. So the first operator records its cluster's identity here, and an operator of
another cluster is refused.
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
    """The identity of a cluster. Fields that could not be read are empty; at least one is not.

    Attributes:
        uid: of the namespace kube-system, which lives as long as its cluster.
        authority: fingerprint of the certificates that verify the API server. Reading it takes no permission, but it
            changes when they are renewed, and clusters behind one proxy share it.
    """

    uid: str
    authority: str

    def __str__(self) -> str:
        if self.uid:
            return f"the cluster whose namespace kube-system has the UID {self.uid}"
        return f"the cluster with the certificate authority {self.authority}"

    @property
    def name(self) -> str:
        """Its value in `CHAINGRAPH_ADOPT_CLUSTER`."""
        return self.uid or self.authority


@dataclass(frozen=True, slots=True)
class Recognised:
    """The identity that is recorded from now on. `adoptions`: how often the ledger has changed clusters."""

    identity: ClusterIdentity
    adoptions: int


class ClusterMatch(Enum):
    """Whether two identities belong to one cluster."""

    SAME = auto()
    OTHER = auto()
    UNCLEAR = auto()
    """They have nothing comparable in common, or only certificates, which differ when they are renewed."""


def compare(recorded: ClusterIdentity, seen: ClusterIdentity) -> ClusterMatch:
    """Compare by the UIDs if both have one, else by the certificates. Pure."""
    if recorded.uid and seen.uid:
        return ClusterMatch.SAME if recorded.uid == seen.uid else ClusterMatch.OTHER
    if recorded.authority and recorded.authority == seen.authority:
        return ClusterMatch.SAME
    return ClusterMatch.UNCLEAR


async def recognise(connection: Connection, seen: ClusterIdentity, *, adopt: str = "") -> Recognised:
    """Check that this cluster owns the ledger, inside the caller's transaction. A ledger without owner is claimed.

    The identity seen now completes the recorded one: with a UID that could not be read before, or renewed certificates.
    An adoption waits for transactions of the former cluster's operators, and fences them.

    Args:
        adopt: the recorded identity's name, to take over the ledger. Without effect afterwards.

    Raises:
        ForeignLedger: another cluster owns it, or that is unknown.
    """
    if adopt:
        # Before the row is locked, in the same order as the checks during operation.
        await operators.wait_for_others(connection)
    recorded = await _recorded(connection)
    if recorded is None:
        await connection.execute(
            "INSERT INTO chaingraph.cluster (uid, authority) VALUES (%s, %s) ON CONFLICT DO NOTHING",
            (seen.uid, seen.authority),
        )
        recorded = await _recorded(connection)
        assert recorded is not None, "the row was just written, and is never removed"
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
        f"stop its operator and set {ADOPT_VARIABLE}={recorded.name}. Executions whose resources do not exist in this "
        "cluster are then stopped"
    )
    if verdict is ClusterMatch.OTHER:
        return (
            f"The database belongs to another cluster: to {recorded}, and this is {seen}. Give this cluster its own "
            f"database (DATABASE_URL_EXECUTIONS). To take over the database of the other cluster, {adoption}"
        )
    return (
        f"Cannot determine whether the database belongs to this cluster: it belongs to {recorded}, and this is "
        f"{seen}. Allow the operator to get the namespace kube-system, or give this cluster its own database "
        f"(DATABASE_URL_EXECUTIONS). If it is the same cluster with new certificates, set {ADOPT_VARIABLE}="
        f"{recorded.name}. To take over the database of another cluster, {adoption}"
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
