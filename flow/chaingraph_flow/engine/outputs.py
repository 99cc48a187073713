"""The results of a finished run: the flow's outputs and emissions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from chaingraph_flow.catalogue import ERROR_PORTS
from chaingraph_flow.context import Emission
from chaingraph_flow.engine.records import NodeRecord, Outcome
from chaingraph_flow.engine.result import FailureReason, NodeError
from chaingraph_flow.engine.state import output_value
from chaingraph_flow.graph import Graph
from chaingraph_flow.limits import Limits
from chaingraph_flow.ports.json_values import copied, render, size_of
from chaingraph_flow.ports.types import BARE, Nowhere, found_at
from chaingraph_flow.validation.wiring import GraphOutput


def flow_outputs(
    graph: Graph, ended: Mapping[str, NodeRecord], limits: Limits
) -> tuple[dict[str, Any], NodeError | None]:
    """Return the flow's outputs by name. Outputs without a value are left out, because their node did not end that way
    or their path leads nowhere.

    A flow without declared outputs has those of its last nodes, which no edge leaves, as `{node: {port: value}}`.

    Returns:
        The outputs; or none, and the failure, when together they are too large: one value may be the output under many
        names.
    """
    shared = _shared_outputs(graph, ended)
    size = size_of(shared, limits.node_bytes)
    if size > limits.node_bytes:
        message = str(limits.exceeded("node_bytes", "all outputs of the flow together"))
        return {}, NodeError("", message, FailureReason.LIMIT_EXCEEDED)
    return {name: copied(value) for name, value in shared.items()}, None


def call_outputs(
    graph: Graph, ended: Mapping[str, NodeRecord], limits: Limits
) -> tuple[dict[str, Any], int, NodeError | None]:
    """Return the outputs of a call, and their size; null for those without a value. They share parts with the records.

    The failure says that together they are too large.
    """
    found = _shared_outputs(graph, ended) if graph.outputs else {}
    outputs = {each.name: found.get(each.name) for each in graph.outputs}
    size = size_of(outputs, limits.node_bytes)
    if size > limits.node_bytes:
        message = str(limits.exceeded("node_bytes", "all outputs of the subflow together"))
        return {}, 0, NodeError("", message, FailureReason.LIMIT_EXCEEDED)
    return outputs, size, None


def _shared_outputs(graph: Graph, ended: Mapping[str, NodeRecord]) -> dict[str, Any]:
    """Return the flow's outputs. They share parts with the records."""
    if graph.spec.outputs:
        outputs: dict[str, Any] = {}
        for each in graph.outputs:
            there, value = _output(graph, each, ended)
            if there and not isinstance(value, Nowhere):
                outputs[each.name] = value
        return outputs
    return {
        id_: dict(ended[id_].outputs)
        for id_, node in graph.nodes.items()
        if id_ in ended
        and ended[id_].outcome is Outcome.COMPLETED
        and ended[id_].outputs
        and all(each.source_port in ERROR_PORTS for each in node.outgoing)
    }


def outputs_to_nowhere(graph: Graph, ended: Mapping[str, NodeRecord]) -> list[tuple[str, str]]:
    """Return the outputs left out because their path leads nowhere: the node, and a log message."""
    found = []
    for each in graph.outputs:
        _, value = _output(graph, each, ended)
        if isinstance(value, Nowhere):
            path = render(f"{each.source}.{each.source_port}", each.source_segments)
            found.append((each.source, f"output {each.name!r} is left out: nothing at {path}: {value.reason}"))
    return found


def _output(graph: Graph, output: GraphOutput, ended: Mapping[str, NodeRecord]) -> tuple[bool, Any | Nowhere]:
    """Return whether an output's source ended with a value for it, and the value."""
    record = ended.get(output.source)
    there, value = (False, None) if record is None else output_value(record, output.source_port)
    if there and output.source_segments:
        type_ = graph.nodes[output.source].outputs.get(output.source_port, BARE)
        value = found_at(type_, value, output.source_segments, f"{output.source}.{output.source_port}")
    return there, value


def flow_emissions(graph: Graph, ended: Mapping[str, NodeRecord]) -> tuple[Emission, ...]:
    """Return all emissions of a run, in the order of `emissions_in_order`."""
    return emissions_in_order(graph.nodes, ended.values())


def emissions_in_order(node_ids: Iterable[str], records: Iterable[NodeRecord]) -> tuple[Emission, ...]:
    """Return the emissions of an execution. The index of each is its position, from which its child's id follows.

    The order is that of the nodes in the spec, and then that in which each node emitted. It does not depend on when the
    nodes ended, or on the order of the records: every reader of the journal finds the same positions.

    Args:
        node_ids: the nodes of the flow in the order of its spec.
        records: the journal: how the nodes ended, each of them once.
    """
    emitted = {record.node_id: record.emissions for record in records}
    return tuple(each for id_ in node_ids for each in emitted.get(id_, ()))
