"""A revision of a flow stands for one content: forged or changed ones never take another's place."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chaingraph_crds.flow import FlowSpec
from chaingraph_flow.revision import canonical, content, revision
from chaingraph_store import executions
from chaingraph_store.commands import creation
from chaingraph_store.errors import ConflictingRevision
from chaingraph_store.flows import flow_names
from chaingraph_store.flows.flow_names import Content, Named
from chaingraph_store.ledger import Ledger
from fixtures.ledger.new_executions import APP, create, new_execution

REVIEWED: dict[str, Any] = {"nodes": [{"id": "a", "type": "Text", "inputs": {"text": "reviewed", "more": 1}}]}
FORGED: dict[str, Any] = {"nodes": [{"id": "a", "type": "Text", "inputs": {"text": "forged", "more": 1}}]}
RESPELLED: dict[str, Any] = {"nodes": [{"inputs": {"more": 1, "text": "reviewed"}, "type": "Text", "id": "a"}]}
_HASH = "c0ffee" * 10 + "beef"


def test_revision_is_a_whole_sha_256() -> None:
    found = revision(FlowSpec.model_validate(REVIEWED))
    assert len(found) == 64
    assert int(found, 16)
    assert found != revision(FlowSpec.model_validate(FORGED))


def test_revision_ignores_spelling_of_keys() -> None:
    assert revision(FlowSpec.model_validate(REVIEWED)) == revision(FlowSpec.model_validate(RESPELLED))


_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**30), 10**30)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


@given(st.dictionaries(st.text(), _VALUES, max_size=4), st.randoms())
def test_canonical_spelling_depends_on_content_alone(spec: dict[str, Any], chance: Any) -> None:
    keys = list(spec)
    chance.shuffle(keys)
    assert canonical({key: spec[key] for key in keys}) == canonical(spec)


@pytest.mark.integration
async def test_forged_content_is_refused_under_a_known_revision(ledger: Ledger) -> None:
    await create(ledger, flow_revision=_HASH, flow_spec=REVIEWED)
    forged = new_execution(flow_revision=_HASH, flow_spec=FORGED)
    async with ledger.transaction() as connection:
        with pytest.raises(ConflictingRevision, match="another flow under revision c0ffee"):
            await creation.create(connection, forged, application_name=APP)
    async with ledger.connection() as connection:
        assert await executions.by_id(connection, forged.id) is None
        cursor = await connection.execute("SELECT count(*) FROM dbos.workflow_status")
        assert await cursor.fetchone() == (1,), "nothing was enqueued"


@pytest.mark.integration
async def test_content_changed_in_the_ledger_is_refused(ledger: Ledger) -> None:
    spec = FlowSpec.model_validate(REVIEWED)
    await create(ledger, flow_revision=revision(spec), flow_spec=content(spec))
    async with ledger.transaction() as connection:
        await connection.execute(
            "UPDATE chaingraph.flow_revisions SET spec = %s WHERE revision = %s",
            (canonical(FORGED).decode(), revision(spec)),
        )
        with pytest.raises(ConflictingRevision):
            await creation.create(
                connection, new_execution(flow_revision=revision(spec), flow_spec=content(spec)), application_name=APP
            )


@pytest.mark.integration
async def test_same_content_in_another_spelling_is_the_same(ledger: Ledger) -> None:
    await create(ledger, flow_revision=_HASH, flow_spec=REVIEWED)
    await create(ledger, flow_revision=_HASH, flow_spec=RESPELLED)


@pytest.mark.integration
async def test_creates_of_one_revision_at_once_all_succeed(ledger: Ledger) -> None:
    await asyncio.gather(*(create(ledger, flow_revision=_HASH, flow_spec=REVIEWED) for _ in range(6)))


@pytest.mark.integration
async def test_name_is_not_published_over_a_forged_revision(ledger: Ledger) -> None:
    await create(ledger, flow_revision=_HASH, flow_spec=REVIEWED)
    async with ledger.connection() as connection:
        assert await flow_names.publish(connection, ("a", "good"), Named(_HASH, 1), Content(RESPELLED, {}))
        assert not await flow_names.publish(connection, ("a", "good"), Named(_HASH, 1), Content(REVIEWED, {}))
        with pytest.raises(ConflictingRevision):
            await flow_names.publish(connection, ("b", "bad"), Named(_HASH, 1), Content(FORGED, {}))
        assert ("b", "bad") not in await flow_names.published(connection, namespaces=None)
