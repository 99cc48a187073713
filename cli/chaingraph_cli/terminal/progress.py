"""How far something is while it is waited for, on stderr: one line, written over on a terminal, elsewhere now and then.

Used by `waiting`.
"""

from __future__ import annotations

import shutil
import sys
import time
from typing import Final

from chaingraph_cli.terminal.escapes import fit, one_line, raw

_ELSEWHERE_SECONDS: Final = 10.0
"""In a pipeline's log a line is there to stay."""


class ProgressLine:
    """What was said last. Clear it before anything else is printed."""

    def __init__(self) -> None:
        self._terminal = sys.stderr.isatty()
        self._said = ""
        self._at = -_ELSEWHERE_SECONDS

    def say(self, text: str) -> None:
        """Says it, unless it was said already."""
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
        """Takes the line away, on a terminal."""
        if self._terminal and self._said:
            print("\r\x1b[K", end="", file=raw(sys.stderr), flush=True)
            self._said = ""
