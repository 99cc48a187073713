"""Emitters whose events no node of their flow listens to. No error, but most likely a slip: every child would fail.

Called by the operator, which warns of them. Only the built-in emitters are looked at, and of those only such as say in
the flow itself what they emit: what comes along an edge, and what a team's own node emits, is known when it runs.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from chaingraph_crds.flow import FlowSpec, NodeSpec
from chaingraph_flow.catalogue import EXECUTE, Catalogue
from chaingraph_flow.field_errors import MOST_ERRORS, ErrorCode, FieldError, Suggestions

_EMITTERS: Final = frozenset(("EventEmitter", "EmitEach"))
_NAME: Final = "eventName"
_FLOW: Final = "flow"


def unheard(spec: FlowSpec, catalogue: Catalogue) -> list[FieldError]:
    """A warning for each emitter of events that nothing in the flow listens to, in the order of its nodes."""
    heard = set(_heard(spec, catalogue))
    fed = {edge.to.partition("[")[0] for edge in spec.edges}
    suggest = Suggestions()
    found: list[FieldError] = []
    for index, node in enumerate(spec.nodes):
        name = _emitted(node, fed)
        if name is not None and name not in heard and len(found) < MOST_ERRORS:
            message = (
                f"no node of this flow listens to {name!r}, so each child that it makes fails{suggest(name, heard)}"
            )
            found.append(FieldError(f"spec.nodes[{index}].inputs.{_NAME}", ErrorCode.UNHEARD_EVENT, message))
    return found


def _heard(spec: FlowSpec, catalogue: Catalogue) -> Iterator[str]:
    for node in spec.nodes:
        node_type = catalogue.get(node.type)
        if node_type is not None and node_type.listens_to is not None:
            yield str(node.inputs.get(node_type.listens_to) or "")


def _emitted(node: NodeSpec, fed: set[str]) -> str | None:
    """The event that a node emits for the listeners of its own flow; None when that is not known, or it never does."""
    if node.type not in _EMITTERS or node.inputs.get(EXECUTE) is False:
        return None
    if node.inputs.get(_FLOW) or {f"{node.id}.{_NAME}", f"{node.id}.{_FLOW}"} & fed:
        return None
    name = node.inputs.get(_NAME)
    return name if isinstance(name, str) else None
