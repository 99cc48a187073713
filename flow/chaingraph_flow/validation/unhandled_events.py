"""Find emitters whose events no node of their flow listens to. Not an error, but a probable typo: every child would
fail.

Only built-in emitters with a fixed event name are checked. Events from an edge, and those of a team's own nodes, are
known only at run time.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from chaingraph_crds.flow import FlowSpec, NodeSpec, SubflowSpec
from chaingraph_flow.catalogue import EXECUTE, Catalogue
from chaingraph_flow.field_errors import MOST_ERRORS, ErrorCode, FieldError, Suggestions

_EMITTERS: Final = frozenset(("EventEmitter", "EmitEach"))
_NAME: Final = "eventName"
_FLOW: Final = "flow"


def unhandled_events(spec: FlowSpec, catalogue: Catalogue) -> list[FieldError]:
    """Return a warning for each emitter of events without a listener in the flow, in the order of its nodes."""
    heard = set(_heard(spec, catalogue))
    suggest = Suggestions()
    found: list[FieldError] = []
    graphs: list[tuple[str, FlowSpec | SubflowSpec]] = [("spec", spec)]
    graphs += [(f"spec.subflows[{index}]", each) for index, each in enumerate(spec.subflows)]
    for path, graph in graphs:
        fed = {edge.to.partition("[")[0] for edge in graph.edges}
        for index, node in enumerate(graph.nodes):
            name = _emitted(node, fed)
            if name is not None and name not in heard and len(found) < MOST_ERRORS:
                hint = suggest(name, heard)
                message = f"no node of this flow listens to {name!r}, so each of its children fails{hint}"
                found.append(FieldError(f"{path}.nodes[{index}].inputs.{_NAME}", ErrorCode.UNHEARD_EVENT, message))
    return found


def _heard(spec: FlowSpec, catalogue: Catalogue) -> Iterator[str]:
    for node in spec.nodes:
        node_type = catalogue.get(node.type)
        if node_type is not None and node_type.listens_to is not None:
            yield str(node.inputs.get(node_type.listens_to) or "")


def _emitted(node: NodeSpec, fed: set[str]) -> str | None:
    """Return the event that a node emits for the listeners of its own flow; None when unknown or never."""
    if node.type not in _EMITTERS or node.inputs.get(EXECUTE) is False:
        return None
    if node.inputs.get(_FLOW) or {f"{node.id}.{_NAME}", f"{node.id}.{_FLOW}"} & fed:
        return None
    name = node.inputs.get(_NAME)
    return name if isinstance(name, str) else None
