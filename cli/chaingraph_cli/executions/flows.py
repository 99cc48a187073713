"""Node ids of a flow, for breakpoints and completion."""

from __future__ import annotations

import subprocess
from typing import Any

from chaingraph_cli.execution import Execution
from chaingraph_cli.kubectl import FLOWS, Kubectl, finish, read_json
from chaingraph_crds.messages.suggestions import similar
from chaingraph_crds.node_paths import places, unnumbered


def ids(flow: dict[str, Any]) -> list[str]:
    """Return the node ids of a flow's spec, and the places of nodes inside its calls: `pages.fetch`."""
    return [place for _, place, _ in places(flow)]


def start_reading(kubectl: Kubectl, name: str) -> subprocess.Popen[str]:
    """Start a kubectl that reads a Flow, for `finish_reading`."""
    return kubectl.start("get", FLOWS, name, "-o", "json")


def finish_reading(process: subprocess.Popen[str]) -> list[str] | None:
    """Return the node ids; None if the Flow cannot be read."""
    done = finish(process)
    return ids(read_json(done.out).get("spec") or {}) if done.code == 0 else None


def nodes_of(kubectl: Kubectl, execution: Execution) -> list[str] | None:
    """Return the node ids of an execution's current flow; None if it cannot be read."""
    own = execution.spec.get("flow")
    return ids(own) if own else finish_reading(start_reading(kubectl, execution.flow))


def unknown(nodes: list[str], known: list[str]) -> list[str]:
    """Make a message for each node that the flow does not have."""
    said = []
    for each in nodes:
        if unnumbered(each) not in known:
            near = similar(each, known)
            said.append(f"the flow has no node {each!r}" + (f"; did you mean {near[0]!r}?" if near else ""))
    return said
