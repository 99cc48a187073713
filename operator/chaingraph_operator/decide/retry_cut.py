"""Decide what a retry keeps that names a node, or takes the latest revision of the flow. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from chaingraph_crds.execution import ExecutionSpec, RetrySpec
from chaingraph_crds.flow import FlowSpec
from chaingraph_crds.node_paths import flow_of, places
from chaingraph_flow.catalogue import Catalogue
from chaingraph_flow.field_errors import suggestion
from chaingraph_flow.rerun import FlowVersion, rerun
from chaingraph_flow.revision import content
from chaingraph_flow.validation.flow_limits import rounded_numbers
from chaingraph_flow.validation.inputs import bind_inputs
from chaingraph_operator.decide.actions import FlowView, Missing, RetryRefusal
from chaingraph_operator.decide.flow_status import (
    Checking,
    NotValidated,
    TooComplex,
    Unparseable,
    Validated,
    counted,
    error_lines,
)
from chaingraph_store.commands.journal_cut import EndedAttempt, JournalCut, NewRevision

_NAMED: Final = 20


@dataclass(frozen=True, slots=True)
class RetryFacts:
    """What has to be known to decide.

    Attributes:
        ended: the attempt that has ended.
        catalogue: the active node types.
        flow_name: the name of its Flow; '' for an inline flow.
        flow: the Flow of that name; None without `flowRevision: Latest`.
    """

    ended: EndedAttempt
    catalogue: Catalogue
    flow_name: str = ""
    flow: FlowView | None = None

    @property
    def waits(self) -> bool:
        """Whether nothing can be decided yet: the Flow is being validated, or no worker has one of the node types.

        An unknown type may be a listener, which decides which nodes take part.
        """
        if self.flow is not None:
            return isinstance(self.flow, Checking | NotValidated)
        flow = self.ended.flow_spec
        return flow is not None and any(node["type"] not in self.catalogue for _, _, node in places(flow))


@dataclass(frozen=True, slots=True)
class Refused:
    """Why a retry is refused."""

    reason: RetryRefusal
    message: str


def cuts(retry: RetrySpec | None) -> bool:
    """Whether a retry needs a decision about the journal."""
    return retry is not None and (retry.node is not None or retry.flow_revision == "Latest")


def decide(spec: ExecutionSpec, retry: RetrySpec, facts: RetryFacts) -> JournalCut | Refused | None:
    """Return the cut, or why the retry is refused; None when it has to wait; see `RetryFacts.waits`."""
    if facts.waits:
        return None
    former = _former(facts)
    new = None if facts.flow is None else _latest(spec, facts, facts.flow)
    if isinstance(new, Refused):
        return new
    if new is not None and new.revision == facts.ended.flow_revision:
        new = None
    if new is not None:
        flow = FlowVersion(_run_of(new.spec, facts.ended), new.inputs, facts.catalogue)
    elif former is not None:
        flow = former
    else:
        return Refused(RetryRefusal.FLOW_NOT_FOUND, "its flow was not found, so no node has run. Remove retry.node")
    events = facts.ended.events or None
    refused = _unknown_node(retry.node, flow, events, facts) if retry.node is not None else None
    if refused is not None:
        return refused
    return _cut(retry, facts.ended, former or flow, flow, new)


def _run_of(spec: Mapping[str, Any], ended: EndedAttempt) -> FlowSpec:
    """Return the graph that the execution runs: the flow, or a subflow of it."""
    return FlowSpec.model_validate(flow_of(spec, ended.subflow))


def _former(facts: RetryFacts) -> FlowVersion | None:
    ended = facts.ended
    if ended.flow_spec is None:
        return None
    return FlowVersion(FlowSpec.model_validate(ended.flow_spec), ended.inputs, facts.catalogue)


def _cut(
    retry: RetrySpec, ended: EndedAttempt, former: FlowVersion, flow: FlowVersion, new: NewRevision | None
) -> JournalCut:
    found = rerun(ended.journal, former=former, flow=flow, events=ended.events or None, node=retry.node or "")
    cut = JournalCut(
        attempt=ended.attempt,
        node=retry.node or "",
        dropped=found.dropped,
        kept=len(found.kept),
        completed=sum(ended.journal[id_] == "completed" for id_ in found.kept),
        again=found.again,
        removed=len(found.removed),
        flow=new,
    )
    if retry.from_ == "Start":
        return replace(cut, dropped=tuple(ended.journal), kept=0, completed=0, again=_in_order(flow, found.kept, cut))
    return cut


def _in_order(flow: FlowVersion, kept: Sequence[str], cut: JournalCut) -> tuple[str, ...]:
    return tuple(id_ for id_ in flow.nodes if id_ in {*kept, *cut.again})


def _latest(spec: ExecutionSpec, facts: RetryFacts, view: FlowView) -> NewRevision | Refused:
    """Return the current revision of the Flow, with the inputs of the execution."""
    name = facts.flow_name
    match view:
        case Missing(_, similar):
            hint = f" (did you mean {' or '.join(map(repr, similar))}?)" if similar else ""
            message = f"Flow {name!r} not found{hint}. Create it, or use flowRevision: Pinned, with another retry.token"
            return Refused(RetryRefusal.FLOW_NOT_FOUND, message)
        case Validated() if view.valid:
            return _bound(spec, facts.ended, view)
        case Validated(errors=errors) if view.lacks_types_only:
            return Refused(RetryRefusal.UNKNOWN_NODE_TYPE, _not_ready(name, errors))
        case Validated(errors=errors) | Unparseable(errors=errors):
            return Refused(RetryRefusal.FLOW_INVALID, _not_ready(name, errors))
        case TooComplex(_, why):
            return Refused(RetryRefusal.TOO_COMPLEX, _not_ready(name, [why]))
        case Checking() | NotValidated():
            raise AssertionError("a Flow that is not validated yet is waited for")


def _not_ready(name: str, errors: Sequence[object]) -> str:
    lines = error_lines(errors, longest=3000)
    return f"Flow {name!r} is not ready. Fix it, then set another retry.token. {lines}"


def _bound(spec: ExecutionSpec, ended: EndedAttempt, view: Validated) -> NewRevision | Refused:
    whole = content(view.spec)
    if flow_of(whole, ended.subflow) is None:
        message = (
            f"the latest revision of the Flow has no subflow {ended.subflow!r}, which this execution runs. "
            "Retry its parent with flowRevision: Latest instead"
        )
        return Refused(RetryRefusal.FLOW_INVALID, message)
    flow = _run_of(whole, ended)
    given: Mapping[str, Any] = spec.inputs
    if spec.spawned_by is not None:
        # Its resource shows small values alone.
        declared = {each.name for each in flow.inputs}
        given = {name: value for name, value in ended.inputs.items() if name in declared}
    inputs, errors = bind_inputs(flow.inputs, given)
    errors += rounded_numbers(spec.inputs, "spec.inputs")
    if errors:
        what = f"the inputs do not fit the latest revision of the Flow, {counted(len(errors), 'error')}"
        remedy = "Change the Flow and set another retry.token, or create another Execution"
        return Refused(RetryRefusal.INVALID_INPUTS, f"{what}. {remedy}: {error_lines(errors, longest=3000)}")
    return NewRevision(view.revision, whole, len(flow.nodes), inputs)


def _unknown_node(node: str, flow: FlowVersion, events: Sequence[str] | None, facts: RetryFacts) -> Refused | None:
    if node not in flow.nodes:
        known = sorted(flow.nodes)
        named = ", ".join(known[:_NAMED]) + (f" and {len(known) - _NAMED} more" if len(known) > _NAMED else "")
        which = "the latest revision of the Flow" if facts.flow is not None else "the flow"
        hint = suggestion(node, known)
        message = (
            f"spec.retry.node: {which} has no node {node!r}{hint} (nodes: {named}). Set another retry.token with it"
        )
        return Refused(RetryRefusal.UNKNOWN_NODE, message)
    if node not in flow.active(events):
        message = (
            f"spec.retry.node: {node!r} takes no part in this execution, because of the events in spec.events. "
            "Choose another node, and set another retry.token"
        )
        return Refused(RetryRefusal.NODE_NOT_IN_RUN, message)
    return None
