"""The paths of nodes inside subflows: `pages[12].fetch` is the node `fetch` in call 12 of the node `pages`.

A node of the flow itself has its id as its path. A node that calls once has no number in the paths below it:
`deploy.check`. The path of one call, `pages[12]` or `deploy`, is that of the graph that it runs.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from chaingraph_crds.limits import MAX_CALL_DEPTH, MAX_PLACES

SUBFLOW: Final = "subflow"
"""The input of a node with the name of the subflow that it calls."""
FLOW: Final = "flow"
"""The input of a node with the name of the Flow that it calls instead."""
RUN: Final = "run"
"""The input of a node that says where its calls run."""
INLINE, CHILD = "Inline", "Child"
"""The values of `RUN`: in the same execution, and as executions of their own."""
_NUMBER = re.compile(r"\[[0-9]+\]")


def inside(call: str, id_: str) -> str:
    """Return the path of a node in the graph of a call; '' is the flow itself."""
    return f"{call}.{id_}" if call else id_


def numbered(path: str, number: int | None) -> str:
    """Return the path of a node's call; None for a node that calls once."""
    return path if number is None else f"{path}[{number}]"


def call_of(path: str) -> str:
    """Return the path of the call in whose graph a node is; '' for a node of the flow itself."""
    return path.rpartition(".")[0]


def caller_of(call: str) -> tuple[str, int | None]:
    """Return the node that makes a call, and the number of the call."""
    node, bracket, number = call.rpartition("[")
    if bracket and number.endswith("]") and number[:-1].isdigit():
        return node, int(number[:-1])
    return call, None


def is_call(path: str) -> bool:
    """Whether it is the path of one of several calls of a node, and not that of a node."""
    return path.endswith("]")


def unnumbered(path: str) -> str:
    """Return the path without the numbers of calls: the place in the flow."""
    return _NUMBER.sub("", path)


def calls_children(inputs: Mapping[str, Any]) -> bool:
    """Whether the calls of a node with these inputs are executions of their own."""
    return inputs.get(RUN) == CHILD or (SUBFLOW not in inputs and isinstance(inputs.get(FLOW), str))


def flow_of(flow: Mapping[str, Any], subflow: str) -> dict[str, Any] | None:
    """Return a subflow as a flow of its own, which may call all subflows of its flow; None when there is no such one.

    Args:
        flow: the spec of a Flow as JSON.
        subflow: the name; '' means the flow itself.
    """
    if not subflow:
        return dict(flow)
    found = next((each for each in flow.get("subflows") or () if each["name"] == subflow), None)
    if found is None:
        return None
    return {name: value for name, value in found.items() if name != "name"} | {"subflows": flow["subflows"]}


def places(flow: Mapping[str, Any]) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    """Yield every node of a flow and of its calls: the place of the call, the place of the node, and the node.

    Args:
        flow: the spec of a Flow as JSON. At most MAX_PLACES places are yielded.

    Nodes of calls that are executions of their own are not among them.
    """
    subflows = {each["name"]: each for each in flow.get("subflows") or ()}
    left = [("", node, 0) for node in reversed(flow.get("nodes") or ())]
    for _ in range(MAX_PLACES):
        if not left:
            return
        call, node, depth = left.pop()
        place = inside(call, node["id"])
        yield call, place, node
        inputs = node.get("inputs") or {}
        name = None if calls_children(inputs) else inputs.get(SUBFLOW)
        called = subflows.get(name) if isinstance(name, str) else None
        if called is not None and depth < MAX_CALL_DEPTH:
            left += [(place, inner, depth + 1) for inner in reversed(called.get("nodes") or ())]
