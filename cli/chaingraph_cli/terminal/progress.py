"""Reports progress on stderr: one overwritten line on a terminal, elsewhere a line every ten seconds."""

from __future__ import annotations

import shutil
import sys
import time
from typing import Final

from chaingraph_cli.terminal.escapes import fit, one_line, raw

_ELSEWHERE_SECONDS: Final = 10.0
"""The interval between lines in a log."""


class ProgressLine:
    """The progress line. Clear it before you print anything else."""

    def __init__(self) -> None:
        self._terminal = sys.stderr.isatty()
        self._said = ""
        self._at = -_ELSEWHERE_SECONDS

    def show(self, text: str) -> None:
        """Show a text, unless it is shown already."""
        text = one_line(text)
        if text == self._said:
            return
        if self._terminal:
            columns = shutil.get_terminal_size().columns - 1
            print(f"\r{fit(text, columns)}\x1b[K", end="", file=raw(sys.stderr), flush=True)
        elif time.monotonic() - self._at < _ELSEWHERE_SECONDS:
            return
        else:
            print(text, file=sys.stderr, flush=True)
        self._said, self._at = text, time.monotonic()

    def clear(self) -> None:
        """Remove the line from a terminal."""
        if self._terminal and self._said:
            print("\r\x1b[K", end="", file=raw(sys.stderr), flush=True)
            self._said = ""
