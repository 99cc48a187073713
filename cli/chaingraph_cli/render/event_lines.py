"""Formats events as lines of `events` and `logs`. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from chaingraph_cli.gateway.event_stream import Event
from chaingraph_cli.terminal.escapes import one_line
from chaingraph_crds.standing import utc

# As `chaingraph_flow.events`, which takes too long to import; a test compares them.
TYPES: Final = (
    "execution:created",
    "flow:started",
    "flow:paused",
    "flow:resumed",
    "flow:retried",
    "flow:completed",
    "flow:failed",
    "flow:cancelled",
    "node:started",
    "node:completed",
    "node:failed",
    "node:skipped",
    "node:waiting",
    "signal:received",
    "node:status-changed",
    "node:debug-log-string",
    "edge:transfer-started",
    "edge:transfer-completed",
    "edge:transfer-failed",
    "child:spawned",
    "child:completed",
    "child:failed",
    "debug:breakpoint-hit",
    "worker:lost",
    "worker:drained",
)
LOG_TYPES: Final = (
    "node:debug-log-string",
    "node:failed",
    "node:skipped",
    "edge:transfer-failed",
    "flow:failed",
    "flow:cancelled",
    "child:failed",
    "worker:lost",
)
"""The events that `logs` prints."""
_OF_FAMILY: Final = ("childExecutionId", "parentExecutionId", "rootExecutionId")


def event_line(event: Event) -> str:
    """Format an event: index, time of day, type and details."""
    return one_line(f"{event.index:>5}  {_clock(event)}  {event.type:<24} {_about(event.data)}".rstrip())


def _clock(event: Event) -> str:
    return event.timestamp.partition("T")[2].removesuffix("Z") or event.timestamp


def _about(data: Mapping[str, Any]) -> str:
    """Format the details of an event: the node or the child, then the rest as NAME=VALUE."""
    parts = [str(data["nodeId"])] if data.get("nodeId") else []
    if "childExecutionId" in data:
        parts.append(str(data.get("name") or data["childExecutionId"]))
        data = {name: value for name, value in data.items() if name not in ("name", *_OF_FAMILY)}
    if "from" in data and "to" in data:
        parts.append(f"{data['from']} -> {data['to']}")
    for name, value in data.items():
        if name in ("nodeId", "from", "to") or value in (None, ""):
            continue
        parts.append(f"{name}={_short(name, value)}")
    return "  ".join(parts)


def _short(name: str, value: object) -> str:
    if name.endswith("Time") and isinstance(value, int | float):
        return f"{value:g}ms"
    if name == "until" and isinstance(value, int):
        return utc(value)
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _lost(data: Mapping[str, Any]) -> str:
    """Describe the loss of a worker and its consequence."""
    then = {"failed": "the execution fails", "paused": "the execution stays paused"}.get(
        str(data.get("next")), "the execution is queued again"
    )
    named = data.get("nodes")
    nodes = ", ".join(map(str, named)) if isinstance(named, list) else ""
    running = f" while it ran {nodes}" if nodes else ""
    return f"worker {data.get('worker')} was lost in attempt {data.get('attempt')}{running}: {then}"


def log_lines(event: Event) -> list[str]:
    """Format a log line or a failure: each line with its time and node."""
    data = event.data
    match event.type:
        case "node:debug-log-string":
            text = str(data.get("log", ""))
        case "node:failed":
            tries = f" ({data['attempts']} attempts)" if int(data.get("attempts") or 1) > 1 else ""
            text = f"FAILED{tries}: {data.get('error', '')}"
        case "node:skipped":
            text = f"skipped: {data.get('reason', '')}"
        case "edge:transfer-failed" if data.get("skipped"):
            # Not a failure: its source delivered no value. The skipped node has the reason.
            return []
        case "edge:transfer-failed":
            text = f"FAILED: {data.get('from')} -> {data.get('to')}: {data.get('error', '')}"
        case "flow:failed":
            text = f"the flow FAILED: {data.get('error', '')}"
        case "child:failed":
            ended = "was stopped" if data.get("phase") == "Stopped" else "FAILED"
            text = f"child {data.get('name')} {ended}: {data.get('error', '')}"
        case "worker:lost":
            text = _lost(data)
        case "flow:cancelled":
            text = f"the flow was stopped: {data.get('reason', '')}"
        case _:
            return []
    node = str(data.get("nodeId") or "-")
    # Split at newlines alone: other line separators are escaped.
    return [one_line(f"{event.timestamp}  {node}  {line}") for line in text.removesuffix("\n").split("\n")]
