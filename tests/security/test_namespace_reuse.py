"""A namespace's UID decides what is shown, and a deletion hides at once."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chaingraph_store.ids import execution_id
from chaingraph_store.ledger import Ledger
from chaingraph_store.reads import details, tree, visibility
from chaingraph_store.reads.visibility import NamespaceIdentity
from fixtures.cluster.control_plane import Kubectl
from fixtures.cluster.view import Cluster
from fixtures.ledger.ledger import row_of
from fixtures.ledger.new_executions import create
from fixtures.ledger.worker_by_hand import StartWorker
from fixtures.processes.gateway import People, RunGateway
from fixtures.processes.programs import RunOperator
from fixtures.trees.children import complete_and_spawn
from fixtures.waiting import eventually

NOW = datetime(2026, 1, 1, tzinfo=UTC)
INLINE = {"flow": {"nodes": [{"id": "a", "type": "Text"}]}}


@given(st.sampled_from(["", "mine", "theirs"]), st.integers(-100, 100))
def test_namespace_owns_what_has_its_uid(uid: str, age: int) -> None:
    mine = NamespaceIdentity("mine", NOW)
    created = NOW + timedelta(seconds=age)
    assert mine.owns(uid, created) == (uid == "mine" if uid else age >= 0)


@pytest.mark.integration
async def test_former_tenants_executions_are_found_by_nobody(ledger: Ledger) -> None:
    mine = NamespaceIdentity("mine", datetime.now(UTC) - timedelta(hours=1))
    old = await create(ledger, namespace_uid="theirs")
    async with ledger.connection() as connection:
        assert await details.newest_named(connection, "team", "nightly", of=mine) is None
        assert not await details.is_shown(connection, old.id, mine)
        assert await tree.roots(connection, namespace="team", of=mine) == []
        own = await create(ledger, namespace_uid="mine")
        legacy = await create(ledger, name="legacy")
        found = await details.newest_named(connection, "team", "nightly", of=mine)
        assert found is not None
        assert found.id == own.id
        assert {row.id for row in await tree.roots(connection, namespace="team", of=mine)} == {own.id, legacy.id}
        assert await details.is_shown(connection, legacy.id, mine)
        later = NamespaceIdentity("mine", datetime.now(UTC) + timedelta(hours=1))
        assert not await details.is_shown(connection, legacy.id, later), "it is older than the namespace"


@pytest.mark.integration
async def test_deleted_execution_is_hidden_with_what_is_below(ledger: Ledger, start_worker: StartWorker) -> None:
    mine = NamespaceIdentity("mine", datetime.now(UTC) - timedelta(hours=1))
    root = await create(ledger, namespace_uid="mine", resources="None")
    worker = await start_worker()
    children = await complete_and_spawn(ledger, root.id, 3, worker=worker.executor_id)
    async with ledger.connection() as connection:
        assert all([await details.is_shown(connection, each, mine) for each in (root.id, *children)])
        assert await visibility.hide(connection, children[0], parent_exists=False) == 0, "its parent has expired"
        assert await visibility.hide(connection, children[0]) == 1
        shown = [row.id for row in await tree.below(connection, root.id)]
        assert set(shown) == {root.id, *children[1:]}
        assert await visibility.hide(connection, root.id) == 3
        assert not any([await details.is_shown(connection, each, mine) for each in (root.id, *children)])
        assert await details.newest_named(connection, "team", "nightly", of=mine) is None


@pytest.fixture
def reused(kubectl: Kubectl) -> Iterator[str]:
    name = f"reused-{uuid.uuid4().hex[:8]}"
    kubectl("create", "namespace", name)
    yield name
    kubectl("delete", "namespace", name, "--wait=false", check=False)


@pytest.mark.long
@pytest.mark.integration
async def test_gateway_hides_rows_of_a_former_namespace(
    run_gateway: RunGateway, people: People, ledger: Ledger, kubectl: Kubectl, reused: str
) -> None:
    gateway = run_gateway()
    uid = json.loads(kubectl("get", "namespace", reused, "-o", "json").stdout)["metadata"]["uid"]
    secret = await create(ledger, namespace=reused, namespace_uid=uid)
    paths = [f"/namespaces/{reused}/executions/nightly", f"/executions/{secret.id}", f"/executions/{secret.id}/tree"]
    paths += [f"/executions/{secret.id}/journal", f"/executions/{secret.id}/events?follow=false"]
    for path in paths:
        assert (await gateway.ask(path, people.admin)).status_code == 200, path

    async def listed(query: str) -> list[str]:
        answer = (await gateway.ask(f"/executions{query}", people.admin)).json()
        return [each["executionID"] for each in answer["executions"]]

    assert secret.id in await listed(f"?namespace={reused}")
    assert secret.id in await listed("")
    await asyncio.to_thread(kubectl, "delete", "namespace", reused, "--wait=true")
    await asyncio.to_thread(kubectl, "create", "namespace", reused)

    async def hidden() -> bool:
        return (await gateway.ask(paths[0], people.admin)).status_code == 404

    await eventually(hidden, what="the former tenant's execution to be hidden")
    for path in paths:
        assert (await gateway.ask(path, people.admin)).status_code == 404, path
    assert await listed(f"?namespace={reused}") == []
    assert secret.id not in await listed("")
    own = await create(ledger, namespace=reused, name="own")
    assert (await gateway.ask(f"/executions/{own.id}", people.admin)).status_code == 200


@pytest.mark.integration
async def test_operator_records_namespace_and_hides_deleted(
    cluster: Cluster, run_operator: RunOperator, start_worker: StartWorker, ledger: Ledger, kubectl: Kubectl
) -> None:
    worker = await start_worker()
    run_operator()
    deleted, expired = (
        cluster.apply("Execution", "deleted", INLINE),
        cluster.apply("Execution", "expired", INLINE | {"ttlSecondsAfterFinished": 1}),
    )
    for each in (deleted, expired):
        await worker.run(execution_id(each))
    namespace = json.loads(kubectl("get", "namespace", cluster.namespace, "-o", "json").stdout)["metadata"]
    mine = NamespaceIdentity(namespace["uid"], datetime.now(UTC) + timedelta(days=1))
    async with ledger.connection() as connection:
        assert await details.is_shown(connection, execution_id(deleted), mine), "by the UID that its row has"
    await cluster.condition("Execution", "deleted", "Succeeded", status="True")
    cluster.kubectl("delete", "cgx", "deleted")

    async def is_hidden() -> bool:
        async with ledger.connection() as connection:
            return not await details.is_shown(connection, execution_id(deleted), mine)

    await eventually(is_hidden, what="the deleted execution to be hidden")

    async def is_gone() -> bool:
        return "expired" not in cluster.kubectl("get", "cgx", "-o", "name").stdout

    await eventually(is_gone, what="the end of 'expired'")
    await asyncio.sleep(1)
    async with ledger.connection() as connection:
        assert await details.is_shown(connection, execution_id(expired), mine), "what expired stays readable"
    assert (await row_of(ledger, execution_id(expired))).phase == "Completed"
