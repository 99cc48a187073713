"""Validate a flow: every error at once, each with the path of the field to fix.

The operator calls it for the Flow's `Ready` condition, the CLI for lint, and the worker through `Graph.build`.
"""

from __future__ import annotations

from chaingraph_crds.flow import FlowSpec
from chaingraph_crds.node_paths import CHILD, RUN, SUBFLOW
from chaingraph_flow.catalogue import Catalogue
from chaingraph_flow.field_errors import ErrorCode, FieldError
from chaingraph_flow.validation.analysis import Analysis
from chaingraph_flow.validation.findings import GRAPH_SECTIONS
from chaingraph_flow.validation.subflows import call_order, on_exit_faults


def validate(spec: FlowSpec, catalogue: Catalogue) -> list[FieldError]:
    """Return every error of a flow, in the order of its fields, its subflows last. Empty when it is valid."""
    return analyse(spec, catalogue).errors()


def analyse(spec: FlowSpec, catalogue: Catalogue) -> Analysis:
    """Analyse a flow: its errors or, without any, what `Graph.build` needs."""
    analysis = Analysis(spec, catalogue)
    _analyse_subflows(spec, analysis)
    analysis.run()
    if spec.on_exit is not None:
        for error in on_exit_faults(spec.on_exit, analysis.specs, "spec.onExit", analysis.suggest):
            analysis.findings.add(GRAPH_SECTIONS - 1, len(spec.outputs), error)
    return analysis


def _analyse_subflows(spec: FlowSpec, root: Analysis) -> None:
    """Analyse the subflows, called ones before their callers: a caller needs the types of their outputs."""
    positions: dict[str, int] = {}
    for index, each in enumerate(spec.subflows):
        if each.name in positions:
            message = f"duplicate subflow {each.name!r}: rename one of them"
            place = f"spec.subflows[{index}].name"
            root.findings.add((index + 1) * GRAPH_SECTIONS, 0, FieldError(place, ErrorCode.DUPLICATE_SUBFLOW, message))
        positions.setdefault(each.name, index)
    root.specs = {name: spec.subflows[index] for name, index in positions.items()}
    own = [spec.subflows[index] for index in positions.values()]
    order, circles = call_order(own, root.catalogue)
    for circle in circles:
        name, node = circle[-1]
        way = " → ".join([*(each for each, _ in circle), circle[0][0]])
        place = f"spec.subflows[{positions[name]}].nodes[{node}].inputs.{SUBFLOW}"
        message = (
            f"closes the circle of calls {way}: a subflow cannot call itself. Use Repeat for a loop, or set "
            f"`{RUN}: {CHILD}` for one of these calls"
        )
        section = (positions[name] + 1) * GRAPH_SECTIONS + 1
        root.findings.add(section, node, FieldError(place, ErrorCode.RECURSIVE_CALL, message))
    root.subflows = dict.fromkeys(positions)
    for name in order:
        index = positions[name]
        analysis = Analysis(
            spec.subflows[index],
            root.catalogue,
            findings=root.findings,
            limits=root.limits,
            suggest=root.suggest,
            at=f"spec.subflows[{index}]",
            base=(index + 1) * GRAPH_SECTIONS,
            subflows=dict(root.subflows),
            specs=root.specs,
        )
        analysis.run()
        root.subflows[name] = analysis.signature
        root.analyses[name] = analysis
