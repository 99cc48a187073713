"""How a command prints: text and tables for people, JSON or YAML for programs."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from chaingraph_cli.terminal import escapes

if TYPE_CHECKING:
    from rich.console import Console

_PIPE_COLUMNS = 160


class OutputFormat(StrEnum):
    """The values of `-o`."""

    TABLE = "table"
    JSON = "json"
    YAML = "yaml"


def dump(content: Mapping[str, Any], form: OutputFormat) -> str:
    """The content as JSON or YAML text (not a table, which each command makes itself)."""
    if form is OutputFormat.YAML:
        from chaingraph_crds.yaml.writing import written

        return written(dict(content)).rstrip("\n")
    return json.dumps(content, indent=2)


def console(*, stderr: bool = False) -> Console:
    """Where a command writes for people: styled on a terminal, plain in a pipe, where no line is broken up.

    Its texts are made printable, and what looks like rich's markup in them is text too: markup of ours is printed with
    `markup=True`.
    """
    from chaingraph_cli.terminal.styled import PrintableConsole

    stream = escapes.raw(sys.stderr if stderr else sys.stdout)
    made = PrintableConsole(file=stream, highlight=False, markup=False, emoji=False, soft_wrap=True)
    if not made.is_terminal:
        made.width = _PIPE_COLUMNS
    return made
