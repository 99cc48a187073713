"""Which flow a name stands for, and the revisions that are kept for the sake of names."""

from __future__ import annotations

import asyncio
from typing import Any

import psycopg
import pytest

from chaingraph_store.flows import flow_names
from chaingraph_store.flows.flow_names import Content, FlowName, Named
from chaingraph_store.ledger import Connection, Ledger
from chaingraph_store.upkeep import pruning

pytestmark = pytest.mark.integration
REPORT: FlowName = ("team", "report")
SPEC = {"nodes": [{"id": "a", "type": "Text"}]}
CONTENT = Content(SPEC, {"city": "Ulm"})


async def publish(ledger: Ledger, flow: FlowName, revision: str) -> bool:
    async with ledger.connection() as connection:
        return await flow_names.publish(connection, flow, Named(revision, 1), CONTENT)


async def names(ledger: Ledger, *namespaces: str) -> dict[FlowName, Named]:
    async with ledger.connection() as connection:
        return await flow_names.published(connection, namespaces=namespaces or None)


async def one(connection: Connection, query: str, *values: object) -> Any:
    cursor = await connection.execute(query.encode(), values)
    return await cursor.fetchone()


async def test_flow_name_is_published_changed_and_forgotten(ledger: Ledger) -> None:
    assert await publish(ledger, REPORT, "r1")
    assert await names(ledger) == {REPORT: Named("r1", 1)}
    async with ledger.connection() as connection:
        assert await one(connection, "SELECT spec FROM chaingraph.flow_revisions WHERE revision = 'r1'") == (SPEC,)
        assert await one(connection, "SELECT inputs FROM chaingraph.flows") == ({"city": "Ulm"},)
        wrong = Named(None, problem="spec.nodes[0].type: there is no 'Tex\x00t'")
        assert await flow_names.publish(connection, REPORT, wrong, None)
        assert await one(connection, "SELECT revision, nodes, problem, inputs FROM chaingraph.flows") == (
            None,
            0,
            "spec.nodes[0].type: there is no 'Tex\\x00t'",
            {},
        )
        assert await flow_names.forget(connection, REPORT)
        assert not await flow_names.forget(connection, REPORT)
    assert await names(ledger) == {}


async def test_publish_skips_unchanged_flow(ledger: Ledger) -> None:
    assert await publish(ledger, REPORT, "r1")
    async with ledger.connection() as connection:
        before = await one(connection, "SELECT updated_at, xmin::text FROM chaingraph.flows")
        assert not await publish(ledger, REPORT, "r1")
        assert await one(connection, "SELECT updated_at, xmin::text FROM chaingraph.flows") == before
        assert await publish(ledger, REPORT, "r2")
        assert await one(connection, "SELECT updated_at, xmin::text FROM chaingraph.flows") != before


async def test_names_are_read_by_namespace(ledger: Ledger) -> None:
    for namespace in ("team", "other"):
        await publish(ledger, (namespace, "report"), "r1")
    assert set(await names(ledger)) == {("team", "report"), ("other", "report")}
    assert set(await names(ledger, "team", "third")) == {("team", "report")}
    async with ledger.connection() as connection:
        assert await flow_names.published(connection, namespaces=[]) == {}


async def test_named_revision_is_kept_without_an_execution(ledger: Ledger) -> None:
    await publish(ledger, REPORT, "r1")
    await publish(ledger, ("team", "twin"), "r1")
    await publish(ledger, ("team", "other"), "r2")
    assert await pruning.remove_unused_revisions(ledger, limit=10) == 0
    await publish(ledger, ("team", "other"), "r1")
    assert await pruning.remove_unused_revisions(ledger, limit=10) == 1
    async with ledger.connection() as connection:
        await flow_names.forget(connection, REPORT)
        await flow_names.forget(connection, ("team", "other"))
    assert await pruning.remove_unused_revisions(ledger, limit=10) == 0, "its twin has it"
    async with ledger.connection() as connection:
        await flow_names.forget(connection, ("team", "twin"))
    assert await pruning.remove_unused_revisions(ledger, limit=10) == 1


async def test_publish_with_retries_survives_revision_removal(ledger: Ledger) -> None:
    """Publications and removals race; one that lost is repeated, as the operator does."""

    async def come() -> None:
        for _ in range(100):
            try:
                await publish(ledger, REPORT, "contested")
            except psycopg.errors.ForeignKeyViolation:
                continue
            return
        pytest.fail("never published")

    async def remove() -> None:
        for _ in range(20):
            await pruning.remove_unused_revisions(ledger, limit=10)

    for _ in range(10):
        await publish(ledger, ("team", "former"), "contested")
        async with ledger.connection() as connection:
            await flow_names.forget(connection, ("team", "former"))
        await asyncio.gather(remove(), come(), remove())
        async with ledger.connection() as connection:
            found = await one(
                connection, "SELECT count(*) FROM chaingraph.flows JOIN chaingraph.flow_revisions USING (revision)"
            )
            assert found == (1,)
            await flow_names.forget(connection, REPORT)


async def test_publish_fails_cleanly_after_revision_removal(ledger: Ledger) -> None:
    await publish(ledger, REPORT, "r1")
    async with ledger.connection() as connection:
        await flow_names.forget(connection, REPORT)
    async with ledger.transaction() as remover:
        await remover.execute("SELECT FROM chaingraph.flow_revisions WHERE revision = 'r1' FOR UPDATE")
        publication = asyncio.create_task(publish(ledger, REPORT, "r1"))
        await asyncio.sleep(0.2)
        assert not publication.done(), "it waits for what becomes of the revision"
        await remover.execute("DELETE FROM chaingraph.flow_revisions WHERE revision = 'r1'")
    with pytest.raises(psycopg.errors.ForeignKeyViolation):
        await publication
    assert await names(ledger) == {}
    assert await publish(ledger, REPORT, "r1")
    assert await names(ledger) == {REPORT: Named("r1", 1)}
