"""Prints JSON, YAML, and styled text."""

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
    """Values of `-o`."""

    TABLE = "table"
    JSON = "json"
    YAML = "yaml"


def dump(content: Mapping[str, Any], form: OutputFormat) -> str:
    """Format content as JSON or YAML."""
    if form is OutputFormat.YAML:
        from chaingraph_crds.yaml.writing import written

        return written(dict(content)).rstrip("\n")
    return json.dumps(content, indent=2)


def console(*, stderr: bool = False) -> Console:
    """Make a console: styled on a terminal; plain in a pipe, without line breaks.

    Text is escaped, and rich's markup in it is not interpreted: print our own markup with `markup=True`.
    """
    from chaingraph_cli.terminal.styled import PrintableConsole

    stream = escapes.raw(sys.stderr if stderr else sys.stdout)
    made = PrintableConsole(file=stream, highlight=False, markup=False, emoji=False, soft_wrap=True)
    if not made.is_terminal:
        made.width = _PIPE_COLUMNS
    return made
