"""Flows that try to take a worker from everybody else. Used by the benchmark of isolation.

Some are flows of built-in nodes; others need the nodes of `tests/fixtures/flows/hostile.py`, as a team might install
them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

TRIVIAL: Final[Mapping[str, Any]] = {"nodes": [{"id": "a", "type": "Text", "inputs": {"value": "x"}}]}
"""What an honest neighbour runs."""
_SHARED: Final = (
    "{% set ns = namespace(x=[1], y=[1]) %}"
    "{% for i in range(60) %}{% set ns.x = [ns.x, ns.x] %}{% set ns.y = [ns.y, ns.y] %}{% endfor %}"
)
_MEGABYTE: Final = "{% for i in range(1000) %}" + "x" * 1000 + "{% endfor %}"


def _template(text: str) -> dict[str, Any]:
    return {"nodes": [{"id": "evil", "type": "Template", "inputs": {"template": text}}]}


def _doubled(times: int) -> dict[str, Any]:
    """A list with a text of 1 MB that each node doubles."""
    nodes: list[dict[str, Any]] = [
        {"id": "text", "type": "Template", "inputs": {"template": _MEGABYTE}},
        {"id": "c0", "type": "Array", "inputs": {"value": [""]}},
    ]
    edges = [{"from": "text.result", "to": "c0.value[0]"}]
    for number in range(1, times + 1):
        before = "c0.value" if number == 1 else f"c{number - 1}.result"
        nodes.append({"id": f"c{number}", "type": "Concat"})
        edges += [{"from": before, "to": f"c{number}.{port}"} for port in "ab"]
    return {"nodes": nodes, "edges": edges}


def _node(type_: str) -> dict[str, Any]:
    return {"nodes": [{"id": "evil", "type": type_, "timeoutSeconds": 2}]}


BUILT_IN: Final[Mapping[str, dict[str, Any]]] = {
    "compare": _template(_SHARED + "{{ ns.x == ns.y }}"),
    "print": _template(_SHARED + "{{ ns.x }}"),
    "title": _template(
        "{% set b = '" + "ab " * 20_000 + "' %}{% for i in range(5000) %}{% set y = b.title() %}{% endfor %}"
    ),
    "double": _doubled(9),
    "sleeps": {"nodes": [{"id": "evil", "type": "Sleep", "inputs": {"milliseconds": 20_000}}]},
}
INSTALLED: Final[Mapping[str, dict[str, Any]]] = {
    name.lower(): _node(name) for name in ("Spin", "HoldInterpreter", "Fill", "FillInThread", "Segfault", "Immortal")
}
