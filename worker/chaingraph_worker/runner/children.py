"""Prepare the data of an execution's children from its integration and emissions. Runs in a runner."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from chaingraph_crds.node_paths import flow_of
from chaingraph_flow import Emission, NodeRecord, emissions_in_order
from chaingraph_worker.runner.reports import to_bytes


def children_of(emissions: Sequence[Emission], nodes: int, integration: Mapping[str, Any]) -> tuple[Any, list[bytes]]:
    """Return fields and blobs of a message for `supervision.children`."""
    fields = {"nodes": nodes, "emitted": [[each.name, each.flow] for each in emissions]}
    return fields, [to_bytes(inherited(integration)), *(to_bytes(each.payload) for each in emissions)]


def journaled_children(
    flow_spec: bytes, integration: bytes, journal: bytes, *, subflow: str = ""
) -> tuple[Any, list[bytes]]:
    """Return the same for an execution that has ended, from its journal: `[record, …]` in any order."""
    flow = flow_of(orjson.loads(flow_spec), subflow)
    nodes = [node["id"] for node in (flow or {"nodes": ()})["nodes"]]
    records = [NodeRecord.from_json(each) for each in orjson.loads(journal)]
    return children_of(emissions_in_order(nodes, records), len(nodes), orjson.loads(integration))


def inherited(integration: Mapping[str, Any]) -> dict[str, Any]:
    """Return the integration context of a child: its parent's without the chat message that requested the parent.

    Source: spec/original-system.md, "Integration context".
    """
    found = dict(integration)
    archai = found.get("archai")
    if isinstance(archai, Mapping):
        found["archai"] = {key: value for key, value in archai.items() if key != "messageID"}
    return found
