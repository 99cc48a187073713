"""A warning for emitters of events that nothing listens to."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from chaingraph_crds.flow import FlowSpec
from chaingraph_flow.registry import Registry
from chaingraph_flow.validation.unhandled_events import unhandled_events
from chaingraph_flow.validation.validation import validate

CATALOGUE = Registry.discover().catalogue
EXAMPLES = sorted((Path(__file__).parents[2] / "examples").glob("*.yaml"))


def warned(*nodes: dict[str, Any], edges: list[dict[str, str]] | None = None) -> list[str]:
    spec = FlowSpec.model_validate({"nodes": list(nodes), "edges": edges or []})
    assert validate(spec, CATALOGUE) == []
    return [str(each) for each in unhandled_events(spec, CATALOGUE)]


def emitter(**inputs: Any) -> dict[str, Any]:
    return {"id": "tell", "type": "EventEmitter", "inputs": {"eventName": "order", **inputs}}


def listener(name: str) -> dict[str, Any]:
    return {"id": f"on-{name}", "type": "EventListener", "inputs": {"eventName": name}}


def test_unhandled_suggests_similar_event_name() -> None:
    assert warned({"id": "text", "type": "Text"}, emitter(), listener("orders")) == [
        "spec.nodes[1].inputs.eventName: no node of this flow listens to 'order', so each of its children fails; "
        "did you mean 'orders'?"
    ]


def test_unhandled_suggests_nothing_without_listener() -> None:
    nodes = [emitter(), {"id": "all", "type": "EmitEach", "inputs": {"eventName": "row", "items": [1]}}]
    assert warned(*nodes) == [
        "spec.nodes[0].inputs.eventName: no node of this flow listens to 'order', so each of its children fails",
        "spec.nodes[1].inputs.eventName: no node of this flow listens to 'row', so each of its children fails",
    ]


@pytest.mark.parametrize(
    "nodes",
    [
        [emitter(), listener("order")],
        [emitter(flow="billing")],
        [emitter(__execute=False)],
        [{"id": "text", "type": "Text"}, listener("order")],
    ],
    ids=["heard", "for another flow", "never run", "nothing emitted"],
)
def test_unhandled_ignores_heard_or_irrelevant_events(nodes: list[dict[str, Any]]) -> None:
    assert warned(*nodes) == []


@pytest.mark.parametrize(("port", "inputs"), [("eventName", {}), ("flow", {"eventName": "order"})])
def test_unhandled_ignores_names_known_only_at_run_time(port: str, inputs: dict[str, Any]) -> None:
    name = {"id": "name", "type": "Text", "inputs": {"value": "x"}}
    tell = {"id": "tell", "type": "EventEmitter", "inputs": inputs}
    assert warned(name, tell, edges=[{"from": "name.value", "to": f"tell.{port}"}]) == []


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_unhandled_reports_nothing_for_examples(example: Path) -> None:
    for document in yaml.safe_load_all(example.read_text(encoding="utf-8")):
        if document["kind"] not in ("Execution", "Flow"):
            continue
        spec = document["spec"].get("flow") if document["kind"] == "Execution" else document["spec"]
        if spec is not None:
            assert unhandled_events(FlowSpec.model_validate(spec), CATALOGUE) == []
