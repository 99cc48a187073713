"""What the operator reads of worker Deployments, and what becomes of answers that it did not hope for."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
import structlog
from prometheus_client import generate_latest

from chaingraph_operator.decide.rollout import State
from chaingraph_operator.kube.api import KubernetesApi
from chaingraph_operator.kube.events import KubernetesEvent
from chaingraph_operator.kube.keys import Key
from chaingraph_operator.loops import worker_deployments
from chaingraph_operator.loops.worker_deployments import WorkerDeployments
from chaingraph_operator.metrics import Metrics
from chaingraph_runtime.cluster_errors import ApiError, Conflict, NotFound, Unavailable
from chaingraph_store.ledger import Ledger
from chaingraph_store.queue import leases
from chaingraph_store.queue.pinning import Build
from fixtures.ledger.new_executions import APP
from fixtures.ledger.new_leases import take_lease
from fixtures.waiting import eventually

pytestmark = pytest.mark.integration


class Server(KubernetesApi):
    """An API server's answers, as a test wants them."""

    def __init__(self) -> None:
        self.deployments: list[dict[str, Any]] = []
        self.pools: dict[str, str] | None = {}
        self.error: ApiError | None = None
        self.delete_error: ApiError | None = None
        self.deleted: list[tuple[str, str, str | None]] = []
        self.lists = 0

    async def list_deployments(self, namespace: str, selector: str) -> list[dict[str, Any]]:
        assert (namespace, selector) == ("shops", "app.kubernetes.io/instance=shop,app.kubernetes.io/component=worker")
        self.lists += 1
        if self.error:
            raise self.error
        return self.deployments

    async def config_map(self, namespace: str, name: str) -> dict[str, Any]:
        assert (namespace, name) == ("shops", "shop-worker-pools")
        if self.pools is None:
            raise NotFound(404, "no such ConfigMap")
        return {"data": self.pools} if self.pools else {}

    async def delete_deployment(
        self, namespace: str, name: str, *, uid: str, resource_version: str | None = None, foreground: bool = False
    ) -> None:
        if self.delete_error:
            raise self.delete_error
        self.deleted.append((name, uid, resource_version))


def deployment(version: str, *, available: str = "True", generation: int = 1, **metadata: Any) -> dict[str, Any]:
    return {
        "metadata": {
            "name": f"w-{version}",
            "uid": f"uid-{version}",
            "resourceVersion": f"7{version}",
            "generation": generation,
            "labels": {"chaingraph.dev/pool": "default", "chaingraph.dev/worker-version": version},
        }
        | metadata,
        "status": {"observedGeneration": 1, "conditions": [{"type": "Available", "status": available}]},
    }


class Part:
    """The part under test, and what it has said."""

    def __init__(self, ledger: Ledger) -> None:
        self.server = Server()
        self.said: list[tuple[str, str]] = []
        self.metrics = Metrics()
        self.part = WorkerDeployments(
            ledger,
            self.server,
            namespace="shops",
            release="shop",
            pools="shop-worker-pools",
            application_name=APP,
            announce=self._announce,
            metrics=self.metrics,
        )

    def _announce(self, key: Key, announcement: KubernetesEvent) -> None:
        self.said.append((key.name, announcement.reason))

    @property
    def told(self) -> str:
        return generate_latest(self.metrics.registry).decode()


@pytest.fixture
def part(ledger: Ledger) -> Part:
    return Part(ledger)


async def worker(ledger: Ledger, version: str) -> None:
    await take_lease(ledger, f"w{version}", build=Build("default", version))


async def hear(ledger: Ledger, version: str) -> None:
    """The worker renews its lease, and takes nothing new if it is told so."""
    async with ledger.connection() as connection:
        await leases.renew(connection, f"w{version}", seconds=600, serving=False)


async def test_rollout_does_nothing_without_pools_or_deployments(ledger: Ledger, part: Part) -> None:
    await worker(ledger, "1")
    part.server.deployments, part.server.pools = [deployment("1")], None
    assert await part.part.look() is None
    part.server.deployments, part.server.pools = [], {"default": "1"}
    assert await part.part.look() is None
    assert 'version="1"' not in part.told


async def test_old_version_is_retired_drained_and_removed(ledger: Ledger, part: Part) -> None:
    await worker(ledger, "1")
    await worker(ledger, "2")
    part.server.deployments = [deployment("1"), deployment("2"), deployment("x", labels={"app": "else"})]
    part.server.pools = {"default": "2"}
    rollout = await part.part.look()
    assert rollout is not None
    assert rollout.states == {Build("default", "1"): State.RETIRED, Build("default", "2"): State.CURRENT}
    assert part.said == [("w-1", "Retired")]
    await part.part.look()
    assert part.server.deleted == [], "its worker has not said that it takes nothing more"
    await hear(ledger, "1")
    part.server.delete_error = Conflict(409, "it was changed")
    await part.part.look()
    assert part.said == [("w-1", "Retired")]
    part.server.delete_error = None
    await part.part.look()
    assert part.server.deleted == [("w-1", "uid-1", "71")]
    assert part.said == [("w-1", "Retired"), ("w-1", "Removed")]
    assert 'chaingraph_operator_worker_versions{pool="default",state="retired",version="1"} 1.0' in part.told
    part.server.deployments = [deployment("1", deletionTimestamp="2026-11-26T00:00:00Z"), deployment("2")]
    await part.part.look()
    assert len(part.server.deleted) == 1, "it goes already"


@pytest.mark.parametrize("new", [deployment("2", available="False"), deployment("2", generation=2), {}])
async def test_unavailable_version_replaces_no_other(ledger: Ledger, part: Part, new: dict[str, Any]) -> None:
    await worker(ledger, "1")
    await worker(ledger, "2")
    part.server.deployments = [deployment("1"), *([new] if new else [])]
    part.server.pools = {"default": "2"}
    rollout = await part.part.look()
    assert rollout is not None
    assert rollout.states[Build("default", "1")] is State.SUPERSEDED
    assert (rollout.retire, rollout.remove, part.said) == ([], [], [])


async def test_empty_pool_list_retires_all_until_it_is_restored(ledger: Ledger, part: Part) -> None:
    await worker(ledger, "1")
    part.server.deployments = [deployment("1")]
    await part.part.look()
    assert part.said == [("w-1", "Retired")]
    part.server.pools = {"default": "1"}
    await part.part.look()
    assert part.said == [("w-1", "Retired"), ("w-1", "ServesAgain")]


@pytest.mark.parametrize("error", [ApiError(403, "forbidden"), Unavailable(0, "no connection")])
async def test_api_server_refusal_is_logged_once_and_retried(
    ledger: Ledger, part: Part, error: ApiError, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker_deployments, "_LOOK_SECONDS", 0.01)
    await worker(ledger, "1")
    part.server.deployments, part.server.pools = [deployment("1")], {"default": "1"}
    part.server.error = error
    with structlog.testing.capture_logs() as logs:
        running = asyncio.create_task(part.part.run())

        async def tried() -> bool:
            return part.server.lists >= 5

        await eventually(tried, what="five looks")
        assert [each["log_level"] for each in logs] == ["warning"]
        part.server.error = None

        async def seen() -> bool:
            return 'state="current",version="1"} 1.0' in part.told

        await eventually(seen, what="what there is")
        running.cancel()
        await asyncio.wait([running])
