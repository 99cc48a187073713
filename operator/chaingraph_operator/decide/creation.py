"""Decide about an Execution without a row: create it, wait for its Flow, or refuse it. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import orjson

from chaingraph_crds.execution import ExecutionSpec
from chaingraph_crds.node_paths import places
from chaingraph_flow.field_errors import ErrorCode, FieldError
from chaingraph_flow.ports.json_values import DEEPEST
from chaingraph_flow.revision import content
from chaingraph_flow.validation.flow_limits import TOO_DEEP, deeper_than, rounded_numbers
from chaingraph_flow.validation.inputs import bind_inputs, rounded_inputs
from chaingraph_operator.decide.actions import Create, FlowView, Missing, ObjectMeta, Plan, Refuse, Wait
from chaingraph_operator.decide.flow_status import (
    CHECKING,
    TOO_COMPLEX,
    WAITING_FOR_WORKERS,
    Checking,
    NotValidated,
    TooComplex,
    Unparseable,
    Validated,
    counted,
    error_lines,
)
from chaingraph_operator.decide.ignored import Reason, unknown_breakpoints
from chaingraph_store import ids
from chaingraph_store.commands.creation import NewExecution

MAX_INPUT_BYTES: Final = 1024 * 1024
"""Maximum size of `inputs`, `events` and `integration` together, as JSON. etcd accepts objects of 1.5 MiB: near that
limit, an object could be created but could not get a status."""


def creation(spec: ExecutionSpec, meta: ObjectMeta, flow: FlowView) -> Plan:
    """Decide about an execution that is to be created."""
    match flow:
        case Missing(name, similar):
            hint = f" (did you mean {' or '.join(map(repr, similar))}?)" if similar else ""
            return Wait(
                "FlowNotFound",
                f"Flow {name!r} not found in namespace {meta.namespace!r}{hint}. "
                "The execution starts once the Flow is created.",
            )
        case Unparseable(errors):
            return Wait("FlowInvalid", f"Cannot read the flow: {error_lines(errors)}", stalled=True)
        case NotValidated():
            return Wait("WaitingForWorkers", WAITING_FOR_WORKERS)
        case Checking():
            return Wait("CheckingFlow", CHECKING)
        case TooComplex(_, why) if spec.flow_ref is not None:
            return Wait("FlowInvalid", f"Flow {spec.flow_ref.name!r} is too complex. {why}", stalled=True)
        case TooComplex(_, why):
            return Refuse(TOO_COMPLEX, why, (why,))
        case Validated() if flow.valid:
            return _resolved(spec, meta, flow)
        case Validated():
            return _invalid(spec, flow)


def _invalid(spec: ExecutionSpec, flow: Validated) -> Plan:
    lines = error_lines(flow.errors, longest=2048)
    if flow.lacks_types_only:
        remedy = "Fix the name, or start" if flow.misspells_types else "The execution starts once there is"
        return Wait(
            ErrorCode.UNKNOWN_NODE_TYPE,
            f"No worker has {counted(len(flow.errors), 'node type')} of the flow. {remedy} a worker with "
            f"{'it' if len(flow.errors) == 1 else 'them'}: {lines}",
            stalled=flow.misspells_types,
        )
    if spec.flow_ref is not None:
        return Wait(
            "FlowInvalid",
            f"Flow {spec.flow_ref.name!r} has {counted(len(flow.errors), 'error')}. The execution starts once "
            f"{'it is' if len(flow.errors) == 1 else 'they are'} fixed: {lines}",
            stalled=True,
        )
    return _refusal("InvalidFlow", f"The flow has {counted(len(flow.errors), 'error')}", inline_lines(flow.errors))


def inline_lines(errors: Sequence[FieldError]) -> list[str]:
    """Format the errors with their paths in the Execution: `spec.flow.nodes[0].type`."""
    return [f"{error.path.replace('spec.', 'spec.flow.', 1)}: {error.message}" for error in errors]


def _refusal(reason: str, summary: str, errors: Sequence[str]) -> Refuse:
    # Columns and Events show the first line only, so the first error stands in it.
    lines = error_lines(errors, longest=3000)
    return Refuse(reason, lines if len(errors) == 1 else f"{summary}: {lines}", tuple(errors))


def _resolved(spec: ExecutionSpec, meta: ObjectMeta, flow: Validated) -> Plan:
    events = [{"name": event.name, "payload": event.payload} for event in spec.events]
    deep = _too_deep({"inputs": spec.inputs, "integration": spec.integration}, events)
    if deep is not None:
        return deep
    oversized = _oversized({"inputs": spec.inputs, "events": events, "integration": spec.integration})
    if oversized is not None:
        return oversized
    inputs, errors = bind_inputs(flow.spec.inputs, spec.inputs)
    errors += rounded_inputs(flow.spec.inputs, spec.inputs)
    for index, event in enumerate(events):
        errors += rounded_numbers(event["payload"], f"spec.events[{index}].payload")
    stored = content(flow.spec)
    known = [place for _, place, _ in places(stored)] if spec.options.breakpoints else []
    unknown = unknown_breakpoints(spec.options.breakpoints, known)
    if errors or unknown:
        reason, what = ("InvalidInputs", "inputs have") if errors else (Reason.UNKNOWN_BREAKPOINT, "breakpoints have")
        found = [*map(str, errors), *unknown]
        return _refusal(reason, f"The {what} {counted(len(found), 'error')}", found)
    return Create(
        NewExecution(
            id=ids.execution_id(meta.uid),
            uid=meta.uid,
            namespace=meta.namespace,
            name=meta.name,
            flow_name=spec.flow_ref.name if spec.flow_ref is not None else "",
            flow_revision=flow.revision,
            flow_spec=stored,
            nodes_total=len(flow.spec.nodes),
            inputs=inputs,
            events=events,
            integration=spec.integration,
            options=spec.options.complete(),
            queue=spec.queue,
            priority=spec.priority,
            start_timeout_seconds=spec.start_timeout_seconds,
            held=spec.paused,
            breakpoints=tuple(spec.options.breakpoints),
            on_stop=spec.children.on_stop,
            resources=spec.children.resources,
            step=spec.step or "",
            resume=spec.resume or "",
            retry=spec.retry.token if spec.retry is not None else "",
            generation=meta.generation,
        )
    )


def _too_deep(parts: Mapping[str, Mapping[str, Any]], events: Sequence[Mapping[str, Any]]) -> Refuse | None:
    places = [(f"spec.{part}.{name}", value) for part, given in parts.items() for name, value in given.items()]
    places += [(f"spec.events[{index}].payload", event["payload"]) for index, event in enumerate(events)]
    errors = [f"{place}: {TOO_DEEP}" for place, value in places if deeper_than(value, DEEPEST)]
    return _refusal("TooDeep", f"{counted(len(errors), 'value')} nested too deep", errors) if errors else None


def _oversized(parts: dict[str, Any]) -> Refuse | None:
    sizes = {f"spec.{name}": len(orjson.dumps(value)) for name, value in parts.items()}
    if sum(sizes.values()) <= MAX_INPUT_BYTES:
        return None
    path = max(sizes, key=lambda name: sizes[name])
    return _refusal(
        "TooLarge",
        "The inputs are too large",
        [
            f"{path}: {sizes[path]} bytes as JSON, {sum(sizes.values())} in total; the limit is {MAX_INPUT_BYTES} in "
            "total. Store large data where the flow can fetch it, and pass its address"
        ],
    )
