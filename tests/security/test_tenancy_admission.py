"""What a namespace may use is the administrator's to say, on a real API server (H4, H5)."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from chaingraph_store.ids import execution_id
from chaingraph_store.ledger import Ledger
from chaingraph_store.tenancy import policies
from fixtures.cluster.view import Cluster
from fixtures.ledger.worker_by_hand import StartWorker
from fixtures.processes.programs import Process, RunOperator
from fixtures.waiting import eventually

pytestmark = pytest.mark.integration
INLINE: dict[str, Any] = {"flow": {"nodes": [{"id": "a", "type": "Text"}]}}


def annotate(cluster: Cluster, **annotations: str) -> None:
    """As the administrator does; '' takes an annotation away."""
    words = [f"chaingraph.dev/{name.replace('_', '-')}={text}" for name, text in annotations.items()]
    words = [word.removesuffix("=") + "-" if word.endswith("=") else word for word in words]
    cluster.kubectl("annotate", "--overwrite", "namespace", cluster.namespace, *words)


@pytest.fixture
def operator(run_operator: RunOperator) -> Process:
    return run_operator(
        CHAINGRAPH_NAMESPACE_SECONDS="0",
        CHAINGRAPH_NAMESPACE_QUEUES="chaingraph-executions",
        CHAINGRAPH_NAMESPACE_MAX_PRIORITY="100",
        CHAINGRAPH_ACCOUNTING_SECONDS="1",
    )


async def rows(ledger: Ledger) -> dict[str, str]:
    """The phase of every execution in the ledger, by name."""
    async with ledger.connection() as connection:
        cursor = await connection.execute("SELECT name, phase FROM chaingraph.executions")
        return {row[0]: row[1] for row in await cursor.fetchall()}


async def refused(cluster: Cluster, name: str, reason: str) -> str:
    condition = await cluster.condition("Execution", name, "Succeeded", status="False", reason=reason)
    assert cluster.status("Execution", name)["phase"] == "Failed"
    return str(condition["message"])


async def waits(cluster: Cluster, *names: str) -> None:
    for name in names:
        await cluster.condition("Execution", name, "Reconciling", reason="QuotaExceeded")
        assert cluster.status("Execution", name)["phase"] == "Pending"


async def created(ledger: Ledger, *names: str) -> None:
    async def all_there() -> bool:
        return set(await rows(ledger)) >= set(names)

    await eventually(all_there, what=lambda: f"{names} in the ledger")


@pytest.mark.parametrize("role", ["view", "edit", "admin"])
def test_namespaced_roles_cannot_change_a_policy(cluster: Cluster, role: str) -> None:
    who = f"{role}-{cluster.namespace}"
    cluster.kubectl("create", "rolebinding", role, f"--clusterrole={role}", f"--user={who}")
    for word in ("chaingraph.dev/queues=*", "chaingraph.dev/max-running=1000"):
        said = cluster.kubectl("annotate", "namespace", cluster.namespace, word, f"--as={who}", check=False)
        assert said.returncode != 0
        assert "forbidden" in said.stderr.lower()


async def test_queue_is_refused_until_it_is_allowed(
    cluster: Cluster, operator: Process, start_worker: StartWorker, ledger: Ledger
) -> None:
    await start_worker(queues=("gpu", "chaingraph-executions"))
    cluster.apply("Execution", "thief", INLINE | {"queue": "gpu"})
    message = await refused(cluster, "thief", "QueueNotAllowed")
    assert message == (
        f"spec.queue: namespace '{cluster.namespace}' may not use queue 'gpu'. Allowed: chaingraph-executions. A "
        "cluster administrator can allow it in the annotation chaingraph.dev/queues of the Namespace"
    )
    assert await rows(ledger) == {}
    annotate(cluster, queues="gpu")
    cluster.apply("Execution", "thief", INLINE | {"queue": "gpu", "retry": {"token": "again"}})
    await created(ledger, "thief")
    cluster.apply("Execution", "default", INLINE)
    assert "Allowed: gpu." in await refused(cluster, "default", "QueueNotAllowed")


async def test_held_queue_is_refused_for_everybody(cluster: Cluster, operator: Process, ledger: Ledger) -> None:
    annotate(cluster, queues="*")
    manifest = {
        "apiVersion": "chaingraph.dev/v1alpha1",
        "kind": "Execution",
        "metadata": {"name": "unlimited", "namespace": cluster.namespace},
        "spec": INLINE | {"queue": "chaingraph-held"},
    }
    said = cluster.kubectl("apply", "-f", "-", input=json.dumps(manifest), check=False)
    assert said.returncode != 0
    assert "the queue chaingraph-held is reserved" in said.stderr


async def test_priority_is_refused_above_the_ceiling(
    cluster: Cluster, operator: Process, start_worker: StartWorker, ledger: Ledger
) -> None:
    await start_worker()
    cluster.apply("Execution", "first", INLINE | {"priority": 101})
    assert "spec.priority: 101 is above 100" in await refused(cluster, "first", "PriorityTooHigh")
    assert await rows(ledger) == {}
    annotate(cluster, max_priority="101")
    cluster.apply("Execution", "second", INLINE | {"priority": 101})
    await created(ledger, "second")


async def test_executions_over_quota_wait_and_none_is_lost(
    cluster: Cluster, operator: Process, run_operator: RunOperator, start_worker: StartWorker, ledger: Ledger
) -> None:
    worker = await start_worker()
    annotate(cluster, max_waiting="2")
    uids = {}
    for name in ("a", "b"):
        uids[name] = cluster.apply("Execution", name, INLINE)
    await created(ledger, "a", "b")
    for name in ("c", "d", "e"):
        uids[name] = cluster.apply("Execution", name, INLINE)
        await waits(cluster, name)
    said = await cluster.condition("Execution", "c", "Succeeded", reason="QuotaExceeded")
    assert "has 2 waiting executions, the limit is 2 (chaingraph.dev/max-waiting)" in said["message"]
    assert set(await rows(ledger)) == {"a", "b"}
    await worker.run(execution_id(uids["a"]))
    await created(ledger, "c")
    await waits(cluster, "d", "e")
    cluster.apply("Execution", "d", INLINE | {"stop": True})
    await cluster.condition("Execution", "d", "Succeeded", status="False", reason="Stopped")
    await worker.run(execution_id(uids["b"]))
    await created(ledger, "e")
    assert set(await rows(ledger)) == {"a", "b", "c", "e"}, "what was stopped in the line holds nobody up"


async def test_quota_survives_another_operator(
    cluster: Cluster, operator: Process, run_operator: RunOperator, start_worker: StartWorker, ledger: Ledger
) -> None:
    await start_worker()
    annotate(cluster, max_waiting="1")
    cluster.apply("Execution", "a", INLINE)
    await created(ledger, "a")
    cluster.apply("Execution", "b", INLINE)
    await waits(cluster, "b")
    operator.kill()
    run_operator(CHAINGRAPH_NAMESPACE_SECONDS="0")
    cluster.apply("Execution", "c", INLINE)
    await waits(cluster, "c")
    assert set(await rows(ledger)) == {"a"}
    annotate(cluster, max_waiting="unlimited")
    await created(ledger, "a", "b", "c")


async def test_bytes_over_quota_keep_new_executions_waiting(
    cluster: Cluster, operator: Process, start_worker: StartWorker, ledger: Ledger
) -> None:
    await start_worker()
    annotate(cluster, max_ledger_bytes="10k")
    text = "".join(f"{number:x}" for number in range(9000))
    flow = {"inputs": [{"name": "x", "type": "string"}], **INLINE["flow"]}
    cluster.apply("Execution", "large", {"flow": flow, "inputs": {"x": text}})
    await created(ledger, "large")

    async def measured() -> bool:
        async with ledger.connection() as connection:
            return (await policies.usage(connection, cluster.namespace, enough=0)).ledger_bytes > 10_000

    await eventually(measured, what="the size of 'large'")
    # The operator reads a measurement again after a second: before, it may let one more in.
    await asyncio.sleep(1.1)
    cluster.apply("Execution", "next", INLINE)
    await waits(cluster, "next")
    annotate(cluster, max_ledger_bytes="")
    await created(ledger, "next")


async def test_wrong_annotation_is_told_and_the_default_holds(
    cluster: Cluster, operator: Process, start_worker: StartWorker, ledger: Ledger
) -> None:
    await start_worker()
    annotate(cluster, max_priority="high", queues="gpu, chaingraph-held")
    cluster.apply("Execution", "thief", INLINE | {"queue": "gpu"})
    assert "Allowed: chaingraph-executions." in await refused(cluster, "thief", "QueueNotAllowed")
    assert await cluster.events_of(cluster.namespace, count=1) == [("Warning", "NamespacePolicyInvalid")]
    operator.wait_figure("chaingraph_operator_invalid_policies 1.0")
    annotate(cluster, max_priority="", queues="")
    operator.wait_figure("chaingraph_operator_invalid_policies 0.0")


async def test_changed_policy_reaches_the_ledger(
    cluster: Cluster, operator: Process, start_worker: StartWorker, ledger: Ledger
) -> None:
    """Also when nothing more is created: a ceiling holds for what waits already."""
    await start_worker()
    annotate(cluster, max_running="3", weight="5", egress="10.9.0.0/16")
    await cluster.row(cluster.apply("Execution", "any", INLINE))

    async def ledger_has(max_running: int | None) -> bool:
        async with ledger.connection() as connection:
            policy = (await policies.all_policies(connection)).get(cluster.namespace)
        found = (policy.max_running, policy.weight, policy.egress) if policy is not None else None
        return found == (None if max_running is None else (max_running, 5.0, ("10.9.0.0/16",)))

    assert await ledger_has(3)
    annotate(cluster, max_running="4")
    await eventually(lambda: ledger_has(4), what="the new ceiling")
    annotate(cluster, max_running="", weight="", egress="")
    await eventually(lambda: ledger_has(None), what="the defaults")
