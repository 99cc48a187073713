"""Formats one execution in detail, with the next commands. Pure."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from chaingraph_cli.execution import FAILED, PAUSED, RUNNING, STOPPED, Execution, describe
from chaingraph_cli.executions import guards
from chaingraph_cli.render import children
from chaingraph_cli.render.listing import duration, parent
from chaingraph_cli.terminal import tables
from chaingraph_cli.terminal.escapes import one_line
from chaingraph_crds.standing import rerun_text

Typed = Callable[..., str]
"""Formats a command as the user types it: `kubectl.typed`."""

_LABEL_WIDTH: Final = 14


def details(execution: Execution, typed: Typed, now: datetime | None = None, *, shown: bool = True) -> str:
    """Format all fields of an execution and the next commands.

    Args:
        shown: whether it has a Kubernetes resource.
    """
    moment = now or datetime.now(UTC)
    lines = [*_summary(execution, moment), *_nodes(execution), *_results(execution, typed), *_children(execution)]
    if not shown:
        lines += _field("Resource", "none (read-only)")
    lines += [*_conditions(execution, moment), *_attempts(execution), *_next(execution, typed, shown)]
    return "\n".join(lines)


def _field(label: str, value: object) -> list[str]:
    """Format a field; further lines of its value are indented, so that none looks like a field."""
    if value in ("", None):
        return []
    first, *others = str(value).split("\n")
    return [f"{label + ':':<{_LABEL_WIDTH}}{first}", *(" " * _LABEL_WIDTH + each for each in others)]


def _summary(execution: Execution, now: datetime) -> list[str]:
    status = execution.status
    revision = str(status.get("flowRevision", ""))[:12]
    flow = execution.flow or "inline"
    labels = execution.item["metadata"].get("labels") or {}
    return [
        *_field("Name", execution.name),
        *_field("Namespace", execution.namespace),
        *_field("Labels", ", ".join(f"{name}={value}" for name, value in labels.items())),
        *_field("Flow", f"{flow} (revision {revision})" if revision else flow),
        *_field("Phase", _phase(execution)),
        *_field("Attempt", status.get("attempt")),
        *_field("Execution ID", status.get("executionID")),
        *_field("Parent", parent(execution)),
        *_field("Worker", status.get("worker")),
        *_field("Version", status.get("workerVersion")),
        *_field("Age", tables.since(execution.created, now)),
        *_field("Duration", duration(execution, now)),
    ]


def _phase(execution: Execution) -> str:
    """Format the phase with details: `Running 'a'`, `Pending, waiting for a worker`."""
    if execution.finished:
        return execution.phase
    where = describe(execution)
    more = where.removeprefix(execution.phase.lower())
    return execution.phase + (more if more != where else f", {where}")


def _nodes(execution: Execution) -> list[str]:
    if not execution.count("total"):
        return []
    counts = [f"{execution.count(each)} {each}" for each in ("completed", "failed", "skipped", "running")]
    if execution.count("waiting"):
        counts.append(f"{execution.count('waiting')} waiting")
    text = f"{execution.done} of {execution.count('total')} done: {', '.join(counts)}"
    return [
        *_field("Nodes", text),
        *_field("Current", ", ".join(execution.current_nodes)),
        *_field("Waiting", str(execution.condition("Waiting").get("message", ""))),
        *_field("Asks", "\n".join(f"{each['node']}: {each.get('prompt', '')}" for each in execution.approvals)),
        *_field("Breakpoints", ", ".join(execution.breakpoints)),
    ]


def _results(execution: Execution, typed: Typed) -> list[str]:
    lines: list[str] = []
    if execution.phase in (FAILED, STOPPED):
        error = execution.status.get("error") or {}
        reason = f" ({error['reason']})" if error.get("reason") else ""
        lines += _field("Error" if execution.phase == FAILED else "Reason", f"{execution.error}{reason}")
    return lines + outputs(execution, typed)


def outputs(execution: Execution, typed: Typed) -> list[str]:
    """Format the outputs of the status a line each, and for omitted ones the command that prints them."""
    shown, omitted = execution.status.get("outputs") or {}, execution.status.get("omittedOutputs") or ()
    lines = [f"  {one_line(name)}:{_value(value)}" for name, value in shown.items()]
    for each in omitted:
        print_it = typed("outputs", execution.name, "--output", str(each["name"]))
        lines.append(one_line(f"  {each['name']}: ({int(each['bytes']):,} bytes: {print_it})"))
    return ["Outputs:", *lines] if lines else []


def _value(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return f" {text}" if "\n" not in text else "\n" + "\n".join(f"    {line}" for line in text.split("\n"))


def _children(execution: Execution) -> list[str]:
    return _field("Children", children.counted(execution.status.get("children") or {}))


def _conditions(execution: Execution, now: datetime) -> list[str]:
    rows = [
        [
            str(each["type"]),
            str(each["status"]),
            str(each["reason"]),
            tables.since(each.get("lastTransitionTime", ""), now),
            str(each["message"]).partition("\n")[0],
        ]
        for each in execution.status.get("conditions") or ()
    ]
    if not rows:
        return []
    shown = tables.table(("TYPE", "STATUS", "REASON", "SINCE", "MESSAGE"), rows)
    return ["Conditions:", *(f"  {line}".removesuffix(f"   {tables.NONE}") for line in shown.split("\n"))]


def _attempts(execution: Execution) -> list[str]:
    attempts: Sequence[dict[str, Any]] = execution.status.get("attempts") or ()
    if not attempts:
        return []
    rows = [
        [
            str(each.get("attempt", "")),
            str(each.get("phase", "")),
            str(each.get("node") or ""),
            str(each.get("completionTime") or ""),
            str(each.get("message") or "").partition("\n")[0],
        ]
        for each in attempts
    ]
    shown = tables.table(("ATTEMPT", "PHASE", "NODE", "ENDED", "MESSAGE"), rows)
    kept = [f"Retry of attempt {each.get('attempt')}: {rerun_text(each)}" for each in attempts if "kept" in each]
    return ["Earlier attempts:", *(f"  {line}" for line in (*shown.split("\n"), *kept))]


def _next(execution: Execution, typed: Typed, shown: bool) -> list[str]:
    steps = next_steps(execution) if shown else reading_steps(execution)
    width = max((len(typed(*words)) for words, _ in steps), default=0)
    lines = [f"  {typed(*words):<{width}}   {meaning}" for words, meaning in steps]
    return ["", "Next:", *lines] if lines else []


def next_steps(execution: Execution) -> list[tuple[tuple[str, ...], str]]:
    """Return the commands that apply in the current state, with what each does."""
    name = execution.name
    if execution.held:
        return [(("start", name), "to run it"), (("step", name), "to run it node by node")]
    if execution.phase == PAUSED:
        return [
            (("step", name), "to run the held nodes, and stay paused"),
            (("resume", name), "to continue"),
            (("stop", name), "to stop it"),
        ]
    if execution.phase == RUNNING and execution.approvals:
        return [(("approve", name), "to approve"), (("reject", name), "to reject")]
    if execution.phase == RUNNING:
        return [(("events", name, "-f"), "to watch it"), (("pause", name), "to pause it before its next nodes")]
    if execution.phase in (FAILED, STOPPED) and not execution.made:
        return [(("retry", name), "to validate it again, after you fix the error")]
    if execution.phase in (FAILED, STOPPED):
        return [
            (("logs", name), "for log lines and errors of its nodes"),
            (("retry", name), "to run the remaining nodes; --from start for all"),
        ]
    if execution.tree_open:
        watch, stop = (("tree", name, "--watch"), "to watch its descendants"), (("stop", name), "to stop them")
        return [watch] if guards.stop(execution) else [watch, stop]
    if (execution.status.get("children") or {}).get("total"):
        return [(("tree", name), "for its descendants")]
    return []


def reading_steps(execution: Execution) -> list[tuple[tuple[str, ...], str]]:
    """Return the commands for an execution without a resource."""
    name = execution.name
    steps: list[tuple[tuple[str, ...], str]] = [
        (("events", name), "for its events"),
        (("nodes", name), "for the outputs of its nodes"),
    ]
    if (execution.status.get("children") or {}).get("total"):
        steps.append((("tree", name), "for its descendants"))
    return steps
