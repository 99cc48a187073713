"""`tree --watch`: redraws a tree on a terminal, or prints a line for each change, until all of it has finished.

The gateway is polled: often while the tree is small, rarely if it is large.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import time
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final, Protocol

from chaingraph_cli.errors import NotFound, Unreachable
from chaingraph_cli.execution import COMPLETED, FAILED, PENDING, PHASES, STOPPED
from chaingraph_cli.gateway.client import Gateway, Unauthenticated
from chaingraph_cli.render import tree_rows
from chaingraph_cli.render.tree_rows import Row
from chaingraph_cli.terminal import tables
from chaingraph_cli.terminal.escapes import fit, printable, raw

_LEAST_SECONDS: Final = 1.0
_MOST_SECONDS: Final = 30.0
_SHARE: Final = 4.0
"""The pause between two polls, as a multiple of the time that a poll takes."""
_TRIES: Final = 8
"""Polls in a row that may fail."""
_LEAST_LINES: Final = 5


class _View(Protocol):
    def show(self, rows: Sequence[Row]) -> None: ...


def watch(args: argparse.Namespace, gateway: Gateway, rows: list[Row]) -> int:
    """Show a tree and its changes until all of it has finished; returns 0 if all has completed, else 1.

    Args:
        rows: the first state.

    Raises:
        NotFound: the execution was removed.
        CliError: the gateway is unreachable for long or rejects the request.
    """
    # By its id: another execution may get the name.
    path = gateway.path_of(str(rows[0]["executionID"]), "tree")
    view = _view(args)
    view.show(rows)
    pause = _LEAST_SECONDS
    while not tree_rows.ended(rows[0]):
        time.sleep(pause)
        began = time.monotonic()
        rows = _again(gateway, path, args.depth)
        pause = min(max(_LEAST_SECONDS, _SHARE * (time.monotonic() - began)), _MOST_SECONDS)
        view.show(rows)
    if args.depth is not None:
        # Deeper levels count too.
        rows = _again(gateway, path, None)
    return 0 if tree_rows.all_completed(rows) else 1


def _again(gateway: Gateway, path: str, depth: int | None) -> list[Row]:
    tries, renewed = 0, False
    while True:
        try:
            return tree_rows.read(gateway, path, depth)
        except Unauthenticated:
            if renewed or not gateway.login.others():
                raise
            renewed = True
        except NotFound as absent:
            raise NotFound("The execution was removed from the database while it was watched.") from absent
        except Unreachable:
            tries += 1
            if tries == _TRIES:
                raise
            time.sleep(_LEAST_SECONDS)


def _view(args: argparse.Namespace) -> _View:
    wide, headers = args.output == "wide", not args.no_headers
    if args.output in ("json", "yaml", "name"):
        return _Records(args.output)
    if sys.stdout.isatty() and os.environ.get("TERM") != "dumb":
        return _Screen(wide=wide, headers=headers)
    return _Lines(wide=wide, headers=headers)


class _Changes:
    """Finds changed rows."""

    def __init__(self) -> None:
        self._before: dict[str, dict[str, Any]] = {}

    def of(self, rows: Sequence[Row]) -> list[Row]:
        found = []
        for line in tree_rows.drawn(rows):
            # The duration always changes.
            now = {name: value for name, value in line.row.items() if name != "durationSeconds"}
            if self._before.get(str(now["executionID"])) != now:
                self._before[str(now["executionID"])] = now
                found.append(line.row)
        return found


class _Records:
    """Prints each changed row as a line of JSON, a YAML document or a name."""

    def __init__(self, output: str) -> None:
        self._form = tree_rows.forms_of(output)
        self._changes = _Changes()

    def show(self, rows: Sequence[Row]) -> None:
        for each in self._changes.of(rows):
            print(self._form(each), flush=True)


class _Lines:
    """Prints a line for each changed row, under one header."""

    def __init__(self, *, wide: bool, headers: bool) -> None:
        self._wide = wide
        self._columns = tree_rows.COLUMNS + (tree_rows.WIDE if wide else ())
        self._header = [list(self._columns)] if headers else []
        self._widths = [0] * len(self._columns)
        self._changes = _Changes()

    def show(self, rows: Sequence[Row]) -> None:
        lines = self._header + [
            [cell or tables.NONE for cell in tree_rows.cells(each, wide=self._wide)] for each in self._changes.of(rows)
        ]
        self._header = []
        self._widths = tables.widths(lines, self._widths)
        for each in lines:
            print(tables.joined(each, self._widths), flush=True)


class _Screen:
    """Redraws the tree in place, as much of it as fits."""

    def __init__(self, *, wide: bool, headers: bool) -> None:
        self._wide = wide
        self._headers = headers
        self._shown = 0

    def show(self, rows: Sequence[Row]) -> None:
        size = shutil.get_terminal_size()
        # The cursor is below the last line.
        lines = self.lines(rows, max(size.lines - 1, _LEAST_LINES))
        up = f"\x1b[{min(self._shown, size.lines - 1)}F" if self._shown else ""
        body = "".join(f"{fit(printable(line), size.columns)}\x1b[K\n" for line in lines)
        screen = raw(sys.stdout)
        screen.write(f"{up}{body}\x1b[J")
        screen.flush()
        self._shown = len(lines)

    def lines(self, rows: Sequence[Row], room: int) -> list[str]:
        """Format at most `room` lines; the last line counts the omitted rows."""
        room -= self._headers
        reached = [each.row for each in tree_rows.drawn(rows)]
        shown = reached if len(reached) <= room else most_telling(reached, room - 1)
        columns = tree_rows.COLUMNS + (tree_rows.WIDE if self._wide else ())
        cells = [tree_rows.cells(each.row, each.before, wide=self._wide) for each in tree_rows.drawn(shown)]
        lines = tables.table(columns, cells, headers=self._headers).splitlines()
        return lines if len(shown) == len(reached) else [*lines, _left_out(reached, shown)]


def most_telling(rows: Sequence[Row], room: int) -> list[Row]:
    """Choose at most `room` rows: active ones first, then failed, pending and completed ones.

    A row comes with its ancestors as far as there is room. Otherwise it is attached to its nearest shown ancestor and
    marked by `…`. The order does not change.

    Args:
        rows: the root first, parents before children.
        room: at least 1.
    """
    ranks = {FAILED: 1, STOPPED: 1, PENDING: 2, COMPLETED: 3}
    parents = {str(each["executionID"]): str(each["parentID"]) for each in rows}
    kept = {str(rows[0]["executionID"])}
    for each in sorted(rows, key=lambda row: ranks.get(str(row["phase"]), 0)):
        if len(kept) >= room:
            break
        line, id_ = [], str(each["executionID"])
        while id_ not in kept:
            line.append(id_)
            id_ = parents[id_]
        kept.update(line if len(kept) + len(line) <= room else line[:1])
    return [_hung(each, parents, kept) for each in rows if str(each["executionID"]) in kept]


def _hung(row: Row, parents: Mapping[str, str], kept: Collection[str]) -> Row:
    """Attach a row to its nearest kept ancestor."""
    id_ = str(row["executionID"])
    above = parents[id_]
    # The parent of the root is not among the rows.
    if above in kept or above not in parents:
        return row
    while above not in kept:
        above = parents[above]
    return {**row, "parentID": above, "name": f"… {tree_rows.named(row)}"}


def _left_out(rows: Sequence[Row], shown: Sequence[Row]) -> str:
    kept = {str(each["executionID"]) for each in shown}
    phases = Counter(str(each["phase"]) for each in rows if str(each["executionID"]) not in kept)
    counts = ", ".join(f"{phases[each]} {each.lower()}" for each in PHASES if phases[each])
    return f"… and {phases.total()} more: {counts}"
