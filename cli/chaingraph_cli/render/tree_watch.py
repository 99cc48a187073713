"""`tree --watch`: a tree in place on a terminal, or a line for each change elsewhere, until all of it has ended.

The gateway is asked again and again: often while that is cheap, seldom where the tree is large.
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
"""Between two looks passes so many times the time that one takes."""
_TRIES: Final = 8
"""Looks in a row that may fail."""
_LEAST_LINES: Final = 5


class _View(Protocol):
    def show(self, rows: Sequence[Row]) -> None: ...


def watch(chosen: argparse.Namespace, gateway: Gateway, rows: list[Row]) -> int:
    """Shows the tree and its changes until all of it has ended; returns 0 if all of it has completed, else 1.

    Args:
        rows: as they were read first.

    Raises:
        NotFound: it has gone meanwhile.
        CliError: the gateway does not answer for long, or refuses.
    """
    # By its id: another execution may get the name.
    path = gateway.path_of(str(rows[0]["executionID"]), "tree")
    view = _view(chosen)
    view.show(rows)
    pause = _LEAST_SECONDS
    while not tree_rows.ended(rows[0]):
        time.sleep(pause)
        began = time.monotonic()
        rows = _again(gateway, path, chosen.depth)
        pause = min(max(_LEAST_SECONDS, _SHARE * (time.monotonic() - began)), _MOST_SECONDS)
        view.show(rows)
    if chosen.depth is not None:
        # What is deeper counts too.
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
            raise NotFound("The execution was removed while it was watched.") from absent
        except Unreachable:
            tries += 1
            if tries == _TRIES:
                raise
            time.sleep(_LEAST_SECONDS)


def _view(chosen: argparse.Namespace) -> _View:
    wide, headers = chosen.output == "wide", not chosen.no_headers
    if chosen.output in ("json", "yaml", "name"):
        return _Records(chosen.output)
    if sys.stdout.isatty() and os.environ.get("TERM") != "dumb":
        return _Screen(wide=wide, headers=headers)
    return _Lines(wide=wide, headers=headers)


class _Changes:
    """Which rows say something new."""

    def __init__(self) -> None:
        self._before: dict[str, dict[str, Any]] = {}

    def of(self, rows: Sequence[Row]) -> list[Row]:
        found = []
        for line in tree_rows.drawn(rows):
            # It gets longer all the time.
            now = {name: value for name, value in line.row.items() if name != "durationSeconds"}
            if self._before.get(str(now["executionID"])) != now:
                self._before[str(now["executionID"])] = now
                found.append(line.row)
        return found


class _Records:
    """Each row that has changed as JSON in a line, as a YAML document, or by its name."""

    def __init__(self, output: str) -> None:
        self._form = tree_rows.forms_of(output)
        self._changes = _Changes()

    def show(self, rows: Sequence[Row]) -> None:
        for each in self._changes.of(rows):
            print(self._form(each), flush=True)


class _Lines:
    """A line for each row that has changed, under one header."""

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
    """The tree in place, as much of it as fits."""

    def __init__(self, *, wide: bool, headers: bool) -> None:
        self._wide = wide
        self._headers = headers
        self._shown = 0

    def show(self, rows: Sequence[Row]) -> None:
        size = shutil.get_terminal_size()
        # The cursor stands below the last line.
        lines = self.lines(rows, max(size.lines - 1, _LEAST_LINES))
        up = f"\x1b[{min(self._shown, size.lines - 1)}F" if self._shown else ""
        body = "".join(f"{fit(printable(line), size.columns)}\x1b[K\n" for line in lines)
        screen = raw(sys.stdout)
        screen.write(f"{up}{body}\x1b[J")
        screen.flush()
        self._shown = len(lines)

    def lines(self, rows: Sequence[Row], room: int) -> list[str]:
        """The table, at most `room` lines of it; the last one says what is left out."""
        room -= self._headers
        reached = [each.row for each in tree_rows.drawn(rows)]
        shown = reached if len(reached) <= room else most_telling(reached, room - 1)
        columns = tree_rows.COLUMNS + (tree_rows.WIDE if self._wide else ())
        cells = [tree_rows.cells(each.row, each.before, wide=self._wide) for each in tree_rows.drawn(shown)]
        lines = tables.table(columns, cells, headers=self._headers).splitlines()
        return lines if len(shown) == len(reached) else [*lines, _left_out(reached, shown)]


def most_telling(rows: Sequence[Row], room: int) -> list[Row]:
    """At most `room` of the rows: first what is active, then what failed, what waits and what completed.

    Each comes with what it is below, as far as there is room for that; otherwise it hangs, marked by `…`, on the
    nearest one above it that is shown. The order stays.

    Args:
        rows: the root first, parents before their children.
        room: 1 at least.
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
    """The row, below the nearest one above it that is kept."""
    id_ = str(row["executionID"])
    above = parents[id_]
    # What the root is below, if anything, is not among the rows.
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
