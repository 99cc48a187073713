"""Which cluster the ledger belongs to: the first one that comes, until somebody says otherwise."""

from __future__ import annotations

import asyncio

import pytest

from chaingraph_store.errors import ForeignLedger
from chaingraph_store.ledger import Ledger
from chaingraph_store.upkeep import cluster
from chaingraph_store.upkeep.cluster import ClusterIdentity, ClusterMatch, compare

OURS = ClusterIdentity("11111111-aaaa", "sha256:ours")
THEIRS = ClusterIdentity("22222222-bbbb", "sha256:theirs")


async def recognise(ledger: Ledger, seen: ClusterIdentity, *, adopt: str = "") -> ClusterIdentity:
    async with ledger.transaction() as connection:
        return (await cluster.recognise(connection, seen, adopt=adopt)).identity


@pytest.mark.parametrize(
    ("recorded", "seen", "verdict"),
    [
        (OURS, OURS, ClusterMatch.SAME),
        (OURS, ClusterIdentity(OURS.uid, "sha256:renewed"), ClusterMatch.SAME),
        (OURS, THEIRS, ClusterMatch.OTHER),
        (OURS, ClusterIdentity(THEIRS.uid, OURS.authority), ClusterMatch.OTHER),
        (OURS, ClusterIdentity("", OURS.authority), ClusterMatch.SAME),
        (ClusterIdentity("", OURS.authority), OURS, ClusterMatch.SAME),
        (OURS, ClusterIdentity("", THEIRS.authority), ClusterMatch.UNCLEAR),
        (ClusterIdentity(OURS.uid, ""), ClusterIdentity("", OURS.authority), ClusterMatch.UNCLEAR),
        (ClusterIdentity("", OURS.authority), ClusterIdentity(OURS.uid, ""), ClusterMatch.UNCLEAR),
    ],
)
def test_compare_uses_uid_then_certificate(
    recorded: ClusterIdentity, seen: ClusterIdentity, verdict: ClusterMatch
) -> None:
    assert compare(recorded, seen) is verdict


@pytest.mark.integration
async def test_recognise_records_first_cluster_and_rejects_others(ledger: Ledger) -> None:
    assert await recognise(ledger, OURS) == OURS
    assert await recognise(ledger, OURS) == OURS
    with pytest.raises(ForeignLedger) as refused:
        await recognise(ledger, THEIRS)
    for said in (OURS.uid, THEIRS.uid, "DATABASE_URL_EXECUTIONS", f"CHAINGRAPH_ADOPT_CLUSTER={OURS.uid}"):
        assert said in str(refused.value)
    assert await recognise(ledger, OURS) == OURS, "a refusal changes nothing"


@pytest.mark.integration
async def test_recognise_rejects_one_of_two_concurrent_clusters(ledger: Ledger) -> None:
    answers = await asyncio.gather(
        *(recognise(ledger, each) for each in (OURS, THEIRS, OURS, THEIRS)), return_exceptions=True
    )
    accepted = {each for each in answers if isinstance(each, ClusterIdentity)}
    assert len(accepted) == 1
    assert sum(isinstance(each, ForeignLedger) for each in answers) == 2


@pytest.mark.integration
async def test_recognise_adds_missing_uid_and_renewed_certificate(ledger: Ledger) -> None:
    assert await recognise(ledger, ClusterIdentity("", "sha256:first")) == ClusterIdentity("", "sha256:first")
    assert await recognise(ledger, ClusterIdentity("u", "sha256:first")) == ClusterIdentity("u", "sha256:first")
    assert await recognise(ledger, ClusterIdentity("u", "sha256:second")) == ClusterIdentity("u", "sha256:second")
    assert await recognise(ledger, ClusterIdentity("", "sha256:second")) == ClusterIdentity("u", "sha256:second")
    with pytest.raises(ForeignLedger, match="Cannot determine"):
        await recognise(ledger, ClusterIdentity("", "sha256:first"))


@pytest.mark.integration
async def test_adoption_requires_uid_of_previous_cluster(ledger: Ledger) -> None:
    await recognise(ledger, OURS)
    with pytest.raises(ForeignLedger):
        await recognise(ledger, THEIRS, adopt="33333333-cccc")
    assert await recognise(ledger, THEIRS, adopt=OURS.uid) == THEIRS
    assert await recognise(ledger, THEIRS, adopt=OURS.uid) == THEIRS, "left in place it does nothing"
    with pytest.raises(ForeignLedger, match=THEIRS.uid):
        await recognise(ledger, OURS)
    async with ledger.connection() as connection:
        cursor = await connection.execute("SELECT adopted_from FROM chaingraph.cluster")
        assert await cursor.fetchall() == [(OURS.uid,)]
