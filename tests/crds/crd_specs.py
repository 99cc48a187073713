"""Good specs to start from, and bad ones that models and API server must both refuse, each at its path."""

from dataclasses import dataclass
from typing import Any

FLOW: dict[str, Any] = {"nodes": [{"id": "greet", "type": "Text", "inputs": {"value": "hello"}}]}
BY_REFERENCE: dict[str, Any] = {"flowRef": {"name": "greeting"}}
INLINE: dict[str, Any] = {"flow": FLOW}

EVERY_FLOW_FIELD: dict[str, Any] = {
    "description": "Greets a city.",
    "inputs": [
        {"name": "city", "type": "string", "required": True, "default": "Bern", "description": "Whom to greet."}
    ],
    "outputs": [{"name": "text", "from": "greet.result", "description": "The greeting."}],
    "nodes": [
        {
            "id": "greet",
            "type": "Template",
            "title": "Greet",
            "inputs": {"template": "Hello, {{ city }}", "values": {"list": [1, None, {"deep": True}]}},
            "timeoutSeconds": 30,
            "retry": {"maxAttempts": 5, "backoffSeconds": 0.5, "maxBackoffSeconds": 8.0},
        }
    ],
    "edges": [{"from": "inputs.city", "to": "greet.values.city"}],
}

EVERY_EXECUTION_FIELD: dict[str, Any] = {
    "flow": EVERY_FLOW_FIELD,
    "inputs": {"city": "Basel", "more": {"deep": [None, 1]}},
    "events": [{"name": "order.made", "payload": {"id": 7}}],
    "integration": {"external": {"ticket": "T-1"}},
    "paused": True,
    "step": "2026-11-23T03:32:51+01:00",
    "stop": True,
    "stopReason": "wrong input",
    "retry": {"token": "second-try", "from": "Start"},
    "options": {
        "maxConcurrency": 8,
        "nodeTimeoutSeconds": 60,
        "flowTimeoutSeconds": 3600,
        "debug": True,
        "breakpoints": ["greet"],
    },
    "startTimeoutSeconds": 60,
    "queue": "nightly",
    "priority": 7,
    "ttlSecondsAfterFinished": 0,
    "children": {"resources": "None", "onStop": "Continue"},
}


@dataclass(frozen=True)
class Bad:
    """A spec with one fault, and where models and API server both say that it is."""

    name: str
    spec: dict[str, Any]
    path: str

    def __str__(self) -> str:
        return self.name


def _node(**changes: Any) -> dict[str, Any]:
    return {"nodes": [{"id": "a", "type": "Text"} | changes]}


def _execution(**changes: Any) -> dict[str, Any]:
    return BY_REFERENCE | changes


BAD_FLOWS = [
    Bad("no nodes", {"nodes": []}, "spec.nodes"),
    Bad("nodes absent", {}, "spec.nodes"),
    Bad("too many nodes", {"nodes": [{"id": f"n{i}", "type": "T"} for i in range(501)]}, "spec.nodes"),
    Bad("unknown field", _node(timeout=3), "spec.nodes[0].timeout"),
    Bad("id with a dot", _node(id="a.b"), "spec.nodes[0].id"),
    Bad("id too long", _node(id="a" * 64), "spec.nodes[0].id"),
    Bad("id not text", _node(id=True), "spec.nodes[0].id"),
    Bad("type absent", {"nodes": [{"id": "a"}]}, "spec.nodes[0].type"),
    Bad("timeout zero", _node(timeoutSeconds=0), "spec.nodes[0].timeoutSeconds"),
    Bad("timeout as text", _node(timeoutSeconds="5"), "spec.nodes[0].timeoutSeconds"),
    Bad("timeout not whole", _node(timeoutSeconds=1.5), "spec.nodes[0].timeoutSeconds"),
    Bad("too many attempts", _node(retry={"maxAttempts": 21}), "spec.nodes[0].retry.maxAttempts"),
    Bad("negative backoff", _node(retry={"backoffSeconds": -0.5}), "spec.nodes[0].retry.backoffSeconds"),
    Bad("inputs as a list", _node(inputs=[1]), "spec.nodes[0].inputs"),
    Bad("edge without a port", _node() | {"edges": [{"from": "a", "to": "a.value"}]}, "spec.edges[0].from"),
    Bad("edge without an end", _node() | {"edges": [{"from": "a.value"}]}, "spec.edges[0].to"),
    Bad("edges as an object", _node() | {"edges": {"from": "a.value"}}, "spec.edges"),
    Bad("input of no type", _node() | {"inputs": [{"name": "i", "type": "stream"}]}, "spec.inputs[0].type"),
    Bad("output of nothing", _node() | {"outputs": [{"name": "o"}]}, "spec.outputs[0].from"),
    Bad("long description", _node() | {"description": "x" * 4097}, "spec.description"),
]

BAD_EXECUTIONS = [
    Bad("no flow", {}, "spec"),
    Bad("two flows", {**BY_REFERENCE, **INLINE}, "spec"),
    Bad("fault in an inline flow", {"flow": _node(timeoutSeconds=-1)}, "spec.flow.nodes[0].timeoutSeconds"),
    Bad("unknown field", _execution(pause=True), "spec.pause"),
    Bad("reference in capitals", {"flowRef": {"name": "Greeting"}}, "spec.flowRef.name"),
    Bad("inputs as a list", _execution(inputs=["a"]), "spec.inputs"),
    Bad("event without a name", _execution(events=[{"payload": 1}]), "spec.events[0].name"),
    Bad("paused as text", _execution(paused="true"), "spec.paused"),
    Bad("step with spaces", _execution(step="a b"), "spec.step"),
    Bad("empty retry token", _execution(retry={"token": ""}), "spec.retry.token"),
    Bad("retry from the middle", _execution(retry={"token": "1", "from": "Middle"}), "spec.retry.from"),
    Bad("no concurrency", _execution(options={"maxConcurrency": 0}), "spec.options.maxConcurrency"),
    Bad("breakpoint of no id", _execution(options={"breakpoints": ["a b"]}), "spec.options.breakpoints[0]"),
    Bad("queue with a space", _execution(queue="a b"), "spec.queue"),
    Bad("priority too high", _execution(priority=1001), "spec.priority"),
    Bad("negative ttl", _execution(ttlSecondsAfterFinished=-1), "spec.ttlSecondsAfterFinished"),
    Bad("children in small letters", _execution(children={"onStop": "stop"}), "spec.children.onStop"),
    Bad("reason without stop", _execution(stopReason="why"), "spec.stopReason"),
]
