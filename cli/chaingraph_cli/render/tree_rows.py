"""Reads the rows of a tree from the gateway and formats their cells."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from chaingraph_cli.execution import COMPLETED, FAILED, FINISHED, STOPPED
from chaingraph_cli.gateway.client import Gateway
from chaingraph_cli.render import children, running_nodes
from chaingraph_cli.terminal import tables

Row = Mapping[str, Any]

COLUMNS: Final = ("NAME", "PHASE", "DURATION", "NODE", "CHILDREN")
WIDE: Final = ("CALL", "FLOW", "ATTEMPT", "ID", "CREATED", "MESSAGE")
_PAGE: Final = "500"
_MAX_NODES: Final = 3


def read(gateway: Gateway, path: str, depth: int | None = None) -> list[Row]:
    """Read all rows: the execution itself first, parents before children, siblings by position.

    Args:
        path: of the tree.
        depth: maximum number of levels below the execution; None for all.

    Raises:
        NotFound: the database has no such execution.
        CliError: the gateway is unreachable or rejects the request.
    """
    levels = {"depth": str(depth)} if depth is not None else {}
    return [row for page in gateway.pages(path, limit=_PAGE, **levels) for row in page["executions"]]


def ended(head: Row) -> bool:
    """Whether an execution and everything below it have finished."""
    return head["phase"] in FINISHED and not head["children"].get("open")


def all_completed(rows: Sequence[Row]) -> bool:
    """Whether all have completed and all emitted children were spawned."""
    return all(each["phase"] == COMPLETED and not each["children"].get("Barred") for each in rows)


@dataclass(frozen=True)
class Line:
    """A row of the drawn tree; `before` are the strokes before its name."""

    row: Row
    before: str


def drawn(rows: Sequence[Row]) -> list[Line]:
    """Order rows depth-first from the root; rows without a parent among them are left out."""
    below: dict[str, list[Row]] = {}
    for each in rows[1:]:
        below.setdefault(str(each["parentID"]), []).append(each)
    lines: list[Line] = []
    # No recursion: a tree may be deeper than Python's stack.
    left: list[tuple[Row, str, str]] = [(each, "", "") for each in rows[:1]]
    while left:
        row, before, under = left.pop()
        lines.append(Line(row, before))
        for position, child in enumerate(reversed(below.get(str(row["executionID"]), []))):
            last = position == 0
            left.append((child, under + ("└─ " if last else "├─ "), under + ("   " if last else "│  ")))
    return lines


def cells(row: Row, before: str = "", *, wide: bool = False) -> list[str]:
    """Return the cells of a row."""
    seconds = row.get("durationSeconds")
    error = row.get("error") or {}
    shown = [
        before + named(row),
        str(row["phase"]),
        tables.span(timedelta(seconds=seconds)) if seconds is not None else "",
        _node(row, error),
        children.counted(row["children"]),
    ]
    if wide:
        message = str(error.get("message", "")).partition("\n")[0]
        shown += (
            [call(row)]
            + [str(row[each] or "") for each in ("flow", "attempt", "executionID", "createdTime")]
            + [message]
        )
    return shown


def named(row: Row) -> str:
    """Return its name, else its id."""
    return str(row.get("name") or row["executionID"])


def call(row: Row) -> str:
    """Return the call in its parent that it is; `onExit` for what runs after the end of its parent."""
    return str(row.get("calledBy") or ("onExit" if row.get("subflow") else ""))


def _node(row: Row, error: Mapping[str, Any]) -> str:
    """Format running, waiting or held nodes; of a failed execution, the node or the reason of the error."""
    if row["phase"] == FAILED:
        return str(error.get("node") or f"({error.get('reason') or 'unknown'})")
    details = {str(each["node"]): each for each in row.get("runningNodes") or ()}
    waiting = [node for node, each in details.items() if each.get("waitsFor")]
    ended = row["phase"] in (COMPLETED, STOPPED)
    current = [] if ended else list(dict.fromkeys([*map(str, row["currentNodes"]), *waiting]))
    nodes = [running_nodes.short(details[each]) if each in details else each for each in current[: _MAX_NODES + 1]]
    return ",".join([*nodes[:_MAX_NODES], *(["…"] if len(nodes) > _MAX_NODES else [])])


def forms_of(output: str) -> Callable[[Row], str]:
    """Return the formatter of a single row for -o json, yaml and name."""
    if output == "name":
        return named
    from chaingraph_cli.terminal.output import OutputFormat, dump

    if output == "yaml":
        return lambda row: f"---\n{dump(row, OutputFormat.YAML)}"
    import json

    return lambda row: json.dumps(row, ensure_ascii=False)
