"""The condition `SpecIgnored`: the parts of a spec that have no effect, and why. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from chaingraph_crds.conditions import ConditionType
from chaingraph_crds.execution import ExecutionOptions, ExecutionSpec
from chaingraph_crds.node_paths import unnumbered
from chaingraph_flow.field_errors import Suggestions
from chaingraph_operator.kube.conditions import ConditionValue
from chaingraph_store.executions import ExecutionRow

_NODES_NAMED: Final = 20
_DEFAULTS: Final = ExecutionOptions().complete()
_LINES: Final = 20
"""Maximum lines of a message. The rest are counted."""


class Reason(StrEnum):
    """Why a part of the spec is ignored, in order: the first one found is the reason of the condition."""

    UNREADABLE = "Unreadable"
    MALFORMED = "Malformed"
    TOO_DEEP = "TooDeep"
    PRIORITY_TOO_HIGH = "PriorityTooHigh"
    UNKNOWN_BREAKPOINT = "UnknownBreakpoint"
    ALREADY_STARTED = "AlreadyStarted"
    NEXT_ATTEMPT = "NextAttempt"


@dataclass(frozen=True, slots=True)
class Ignored:
    """An ignored part of the spec. `message` starts with its path."""

    reason: Reason
    message: str


def claim(found: Sequence[Ignored]) -> list[ConditionValue]:
    """Return the condition, or nothing when no part of the spec is ignored."""
    if not found:
        return []
    order = list(Reason)
    ordered = sorted(found, key=lambda each: order.index(each.reason))
    lines = [each.message for each in ordered[:_LINES]]
    if len(ordered) > _LINES:
        lines.append(f"... and {len(ordered) - _LINES} more")
    return [ConditionValue(ConditionType.SPEC_IGNORED, "True", ordered[0].reason, "\n".join(lines))]


def of_active(spec: ExecutionSpec, row: ExecutionRow, nodes: Collection[str]) -> list[Ignored]:
    """List the parts of the spec that an active execution ignores. After its end, a retry uses the whole spec.

    Args:
        nodes: places of the flow's nodes; not needed when the spec has no breakpoints.
    """
    if row.ended:
        return []
    found = [
        Ignored(Reason.UNKNOWN_BREAKPOINT, f"{line}. The execution does not pause there")
        for line in unknown_breakpoints(spec.options.breakpoints, nodes)
    ]
    if row.started_at is None:
        return found
    found += [
        Ignored(
            Reason.NEXT_ATTEMPT,
            f"spec.options.{name}: this attempt uses {was}; {now} takes effect with the next attempt",
        )
        for name, was, now in changed_options(spec.options, row.options)
    ]
    if spec.start_timeout_seconds != row.start_timeout_s:
        found.append(
            Ignored(
                Reason.ALREADY_STARTED,
                f"spec.startTimeoutSeconds: {spec.start_timeout_seconds} has no effect after the start",
            )
        )
    return found


def changed_options(options: ExecutionOptions, known: Mapping[str, Any]) -> list[tuple[str, Any, Any]]:
    """Return the options that differ from those of a row, with both values. Breakpoints are stored separately.

    Args:
        known: the row's options. A missing one has its default.
    """
    wanted = {name: value for name, value in options.complete().items() if name != "breakpoints"}
    known = _DEFAULTS | dict(known)
    return [(name, known[name], value) for name, value in wanted.items() if known[name] != value]


def unknown_breakpoints(breakpoints: Sequence[str], nodes: Collection[str]) -> list[str]:
    """Format a line for each breakpoint that is not a node of the flow, with its path and the existing nodes."""
    suggest = Suggestions()
    known = sorted(nodes)
    unknown = [(index, each) for index, each in enumerate(breakpoints) if unnumbered(each) not in nodes]
    lines = [
        f"spec.options.breakpoints[{index}]: the flow has no node {each!r}{suggest.nearest(each, known)}"
        for index, each in unknown
    ]
    return [f"{line} (nodes: {_listed(known)})" if number == 0 else line for number, line in enumerate(lines)]


def _listed(nodes: Sequence[str]) -> str:
    named = ", ".join(nodes[:_NODES_NAMED])
    return named if len(nodes) <= _NODES_NAMED else f"{named} and {len(nodes) - _NODES_NAMED} more"
