"""Shows the executions of `demo` while they run, and their results."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from chaingraph_cli.local.examples import Example
from chaingraph_cli.terminal.escapes import one_line
from chaingraph_crds.execution import ExecutionPhase

_STYLES = {
    ExecutionPhase.COMPLETED: "green",
    ExecutionPhase.FAILED: "red",
    ExecutionPhase.STOPPED: "red",
    ExecutionPhase.RUNNING: "cyan",
}


@dataclass(frozen=True)
class DemoRow:
    """An execution; `status` is empty until the operator has seen it."""

    example: Example
    status: dict[str, Any]

    @property
    def name(self) -> str:
        return self.example.name

    @property
    def phase(self) -> ExecutionPhase:
        return ExecutionPhase(self.status.get("phase") or ExecutionPhase.PENDING)

    @property
    def as_expected(self) -> bool:
        waits = self._condition("Waiting").get("status") == "True"
        return self.phase is self.example.expected and (waits or self.phase is not ExecutionPhase.RUNNING)

    @property
    def settled(self) -> bool:
        """Whether its whole tree has ended, or it is paused or waits as expected."""
        return self.tree_ended if self.phase.finished else self.as_expected

    @property
    def tree_ended(self) -> bool:
        return self._condition("TreeSucceeded").get("status") != "Unknown"

    @property
    def children(self) -> str:
        counts = self.status.get("children") or {}
        return f"{counts.get('completed', 0)} of {counts['total']}" if counts.get("total") else "-"

    @property
    def tree(self) -> str:
        """The outcome of its descendants; empty if it has none."""
        return str(self._condition("TreeSucceeded").get("message", "")) if self.status.get("children") else ""

    @property
    def nodes(self) -> str:
        counts = self.status.get("nodes") or {}
        done = sum(int(counts.get(each, 0)) for each in ("completed", "failed", "skipped"))
        return f"{done} of {counts['total']}" if counts.get("total") else "-"

    @property
    def seconds(self) -> str:
        """Its duration, once it has ended."""
        began, ended = self.status.get("startTime"), self.status.get("completionTime")
        if not began or not ended:
            return "-"
        return f"{(datetime.fromisoformat(ended) - datetime.fromisoformat(began)).total_seconds():.2f} s"

    @property
    def message(self) -> str:
        """The message of the condition Succeeded."""
        return str(self._condition("Succeeded").get("message", ""))

    def _condition(self, kind: str) -> Mapping[str, Any]:
        conditions = self.status.get("conditions") or ()
        return next((each for each in conditions if each.get("type") == kind), {})


class Watching(Protocol):
    """Shows the current rows."""

    def __call__(self, rows: Sequence[DemoRow]) -> None: ...


@contextmanager
def watching(console: Console) -> Iterator[Watching]:
    """Show a live table on a terminal; elsewhere a line for each execution once it is settled."""
    if console.is_terminal:
        with Live(console=console, auto_refresh=False) as live:
            yield lambda rows: live.update(_table(rows), refresh=True)
        return
    shown: set[str] = set()

    def show(rows: Sequence[DemoRow]) -> None:
        for row in rows:
            if row.settled and row.name not in shown:
                shown.add(row.name)
                below = f"; {row.tree}" if row.tree else ""
                console.print(f"{row.name:<20} {row.phase:<10} {row.message}{below}")

    yield show


def _table(rows: Sequence[DemoRow]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("EXECUTION", "PHASE", "NODES DONE", "CHILDREN DONE", "NOW", "TIME"):
        table.add_column(column, justify="right" if column == "TIME" else "left")
    for row in rows:
        now = one_line(", ".join(row.status.get("currentNodes") or ()))
        table.add_row(
            row.name, Text(row.phase, _STYLES.get(row.phase, "dim")), row.nodes, row.children, now, row.seconds
        )
    return table


def print_results(console: Console, rows: Sequence[DemoRow]) -> None:
    """Print the outputs of each execution, or its error."""
    for row in rows:
        console.print()
        console.print(Text(row.name, "bold") + Text(f"  ({row.example.file.name})", "dim"))
        error = row.status.get("error")
        if error:
            meant = ", as expected" if row.as_expected else ""
            where = f"node {error['node']}: " if error.get("node") else ""
            console.print(f"  {row.phase}{meant}: {where}{error.get('message', '')}")
        if row.phase is ExecutionPhase.PAUSED:
            console.print(f"  {row.phase}{', as expected' if row.as_expected else ''}: {row.message}")
        for each in row.status.get("waiting") or ():
            console.print(f"  Waiting at {each['node']}: {each.get('prompt') or each['kind']}")
        if row.tree:
            console.print(f"  children: {row.tree}")
        for name, value in (row.status.get("outputs") or {}).items():
            _print_output(console, name, value)


def _print_output(console: Console, name: str, value: object) -> None:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    lines = text.rstrip("\n").splitlines() or [""]
    if len(lines) == 1:
        console.print(f"  {name}: {lines[0]}")
        return
    console.print(f"  {name}:")
    for line in lines:
        console.print(f"    {line}".rstrip())
