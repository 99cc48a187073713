"""Events as lines for people: of everything that happens, and of what nodes have to say. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from chaingraph_cli.gateway.event_stream import Event
from chaingraph_cli.terminal.escapes import one_line

# As `chaingraph_flow.events`, whose package takes longer to import than all of a verb may; a test compares them.
TYPES: Final = (
    "execution:created",
    "flow:started",
    "flow:paused",
    "flow:resumed",
    "flow:completed",
    "flow:failed",
    "flow:cancelled",
    "node:started",
    "node:completed",
    "node:failed",
    "node:skipped",
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
"""What `logs` shows."""
_OF_FAMILY: Final = ("childExecutionId", "parentExecutionId", "rootExecutionId")


def event_line(event: Event) -> str:
    """One event: index, time of day, type and what it is about."""
    return one_line(f"{event.index:>5}  {_clock(event)}  {event.type:<24} {_about(event.data)}".rstrip())


def _clock(event: Event) -> str:
    return event.timestamp.partition("T")[2].removesuffix("Z") or event.timestamp


def _about(data: Mapping[str, Any]) -> str:
    """The node first, or the child, then the rest as NAME=VALUE."""
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
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _lost(data: Mapping[str, Any]) -> str:
    """A worker is gone, and what follows."""
    then = {"failed": "the flow fails", "paused": "it stays paused"}.get(str(data.get("next")), "it is queued again")
    named = data.get("nodes")
    nodes = ", ".join(map(str, named)) if isinstance(named, list) else ""
    running = f" while it ran {nodes}" if nodes else ""
    return f"the worker {data.get('worker')} was lost in attempt {data.get('attempt')}{running}: {then}"


def log_lines(event: Event) -> list[str]:
    """What a node said, or why something failed: each line with its time and its node."""
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
            # Its source has delivered nothing, which is no failure; a node that is skipped for it says why.
            return []
        case "edge:transfer-failed":
            text = f"FAILED: {data.get('from')} -> {data.get('to')}: {data.get('error', '')}"
        case "flow:failed":
            text = f"the flow FAILED: {data.get('error', '')}"
        case "child:failed":
            ended = "was stopped" if data.get("phase") == "Stopped" else "FAILED"
            text = f"the child {data.get('name')} {ended}: {data.get('error', '')}"
        case "worker:lost":
            text = _lost(data)
        case "flow:cancelled":
            text = f"the flow was stopped: {data.get('reason', '')}"
        case _:
            return []
    node = str(data.get("nodeId") or "-")
    # At newlines alone: what else some programs take for the end of a line is escaped, and its rest stays behind it.
    return [one_line(f"{event.timestamp}  {node}  {line}") for line in text.removesuffix("\n").split("\n")]
