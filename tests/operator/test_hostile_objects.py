"""The operator with objects that it cannot read, or cannot check: it serves all others, and says what is wrong."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from chaingraph_crds import names
from chaingraph_runtime import objects
from fixtures.cluster.rest import Rest
from fixtures.cluster.view import Cluster
from fixtures.ledger.worker_by_hand import StartWorker
from fixtures.processes.programs import RunOperator
from fixtures.waiting import eventually

pytestmark = pytest.mark.integration

FLOW = {"nodes": [{"id": "a", "type": "Text", "inputs": {"value": "hello"}}]}


def nested(levels: int, *, inside: str) -> str:
    opening, closing = ("[", "]") if inside == "lists" else ('{"a":', "}")
    return opening * levels + "1" + closing * levels


def create(rest: Rest, namespace: str, kind: str, name: str, spec: str) -> None:
    """Creates an object of a text that the test's own encoder would not write."""
    head = orjson.dumps({"apiVersion": names.API_VERSION, "kind": kind, "metadata": {"name": name}}).decode()
    rest.create_text(namespace, kind, f'{head[:-1]},"spec":{spec}}}')


async def condition(rest: Rest, namespace: str, kind: str, name: str, type_: str, reason: str) -> dict[str, Any]:
    async def look() -> dict[str, Any] | None:
        status = objects.read(rest.text(namespace, kind, name)).get("status") or {}
        found = [each for each in status.get("conditions", ()) if each["type"] == type_ and each["reason"] == reason]
        return found[0] if found else None

    return await eventually(look, within=30)


@pytest.mark.parametrize("inside", ["lists", "objects"])
async def test_deep_objects_are_refused_and_others_served(
    cluster: Cluster, rest: Rest, namespace: str, run_operator: RunOperator, start_worker: StartWorker, inside: str
) -> None:
    await start_worker()
    inline = orjson.dumps(FLOW).decode()
    for number, levels in enumerate((101, 250, 1100, 5000)):
        value = nested(levels, inside=inside)
        spec = f'{{"flow":{inline},"inputs":{{"x":{value}}}}}'
        create(rest, namespace, "Execution", f"deep-{number}", spec)
        node = f'{{"id":"a","type":"Cast","inputs":{{"value":{value}}}}}'
        create(rest, namespace, "Flow", f"deep-{number}", f'{{"nodes":[{node}]}}')
    operator = run_operator()
    uid = cluster.apply("Execution", "honest", {"flow": FLOW})
    await cluster.row(uid)
    for number in range(4):
        refused = await condition(rest, namespace, "Execution", f"deep-{number}", "Succeeded", "TooDeep")
        assert refused["status"] == "False"
        assert "100" in refused["message"]
        reason = "Invalid" if not number else "TooDeep"
        found = await condition(rest, namespace, "Flow", f"deep-{number}", "Ready", reason)
        assert found["status"] == "False"
        assert "nested deeper than" in found["message"]
    assert await cluster.events_of("deep-3", count=2) == [("Warning", "TooDeep")] * 2
    create(rest, namespace, "Execution", "late", f'{{"flow":{inline},"inputs":{{"x":{nested(3000, inside=inside)}}}}}')
    await condition(rest, namespace, "Execution", "late", "Succeeded", "TooDeep")
    assert 'chaingraph_operator_unreadable_total{kind="executions"}' in operator.get("/metrics").text
    assert operator.process.poll() is None


async def test_costly_flow_is_too_complex_and_others_served(
    cluster: Cluster, rest: Rest, namespace: str, run_operator: RunOperator, start_worker: StartWorker
) -> None:
    await start_worker()
    run_operator(CHAINGRAPH_FLOW_CHECK_CPU_SECONDS="0.5")
    # Within a list, so that the API server's managedFields do not name each key: that takes it half a minute.
    value = [{f"key{index}": index for index in range(20_000)}]
    nodes: list[dict[str, Any]] = [{"id": "o", "type": "Array", "inputs": {"value": value}}]
    nodes += [{"id": f"m{index}", "type": "Merge"} for index in range(400)]
    sources = ["o.value[0]", *(f"m{index}.result" for index in range(399))]
    edges = [{"from": source, "to": f"m{index}.a"} for index, source in enumerate(sources)]
    edges += [{"from": "o.value[0]", "to": f"m{index}.b"} for index in range(400)]
    costly = {"nodes": nodes, "edges": edges}
    for kind, spec in (("Flow", costly), ("Execution", {"flow": costly})):
        create(rest, namespace, kind, "costly", orjson.dumps(spec).decode())
    uid = cluster.apply("Execution", "honest", {"flow": FLOW})
    await cluster.row(uid)
    ready = await cluster.condition("Flow", "costly", "Ready", status="False", reason="TooComplex")
    assert "(CHAINGRAPH_FLOW_CHECK_" in ready["message"]
    await cluster.condition("Flow", "costly", "Stalled", status="True", reason="TooComplex")
    failed = await cluster.condition("Execution", "costly", "Succeeded", status="False", reason="TooComplex")
    assert "(CHAINGRAPH_FLOW_CHECK_" in failed["message"]
    waits = cluster.apply("Execution", "waits", {"flowRef": {"name": "costly"}})
    await cluster.condition("Execution", "waits", "Succeeded", status="Unknown", reason="FlowInvalid")
    rest.merge(namespace, "flow", "costly", {"spec": FLOW | {"edges": []}})
    await cluster.row(waits)
