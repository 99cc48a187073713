"""Standard output and standard error of a runner, without the secrets of its execution."""

from __future__ import annotations

import io
import sys
import threading
from typing import Final, TextIO

from chaingraph_flow import Scrubber

_LONGEST: Final = 256 * 1024
"""Maximum characters of a line that is held back. Of a longer one, the last half is: a secret may have begun there."""


class ScrubbedStream(io.TextIOBase):
    """Writes whole lines, so that a secret in pieces is found. Without secrets, everything is written immediately.

    For text that Python code writes. What a library in C or a program that a node starts writes does not come past.
    """

    def __init__(self, target: TextIO) -> None:
        self._target = target
        self._lock = threading.RLock()
        self._pending = ""
        self.scrubber = Scrubber()

    def write(self, text: str) -> int:
        """Write the complete lines; keep the rest."""
        with self._lock:
            if not self.scrubber and not self._pending:
                return self._target.write(text)
            self._pending += text
            whole, line_break, rest = self._pending.rpartition("\n")
            if whole or line_break:
                self._target.write(self.scrubber.text(whole) + line_break)
                self._pending = rest
            if len(rest) > _LONGEST:
                # First the secrets, and then the cut, which would divide one.
                rest = self.scrubber.text(rest)
                self._target.write(rest[: -_LONGEST // 2])
                self._pending = rest[-_LONGEST // 2 :]
            return len(text)

    def flush(self) -> None:
        """Flush what was written. An incomplete line stays."""
        with self._lock:
            self._target.flush()

    def begin(self, scrubber: Scrubber) -> None:
        """Remove the secrets of this execution from now on."""
        self.end()
        self.scrubber = scrubber

    def end(self) -> None:
        """Write the rest, and forget the secrets."""
        with self._lock:
            self._target.write(self.scrubber.text(self._pending))
            self._target.flush()
            self._pending = ""
            self.scrubber = Scrubber()

    def writable(self) -> bool:
        """Return True."""
        return True

    def fileno(self) -> int:
        """Return the number of the file below."""
        return self._target.fileno()

    def isatty(self) -> bool:
        """Return whether it is a terminal."""
        return self._target.isatty()

    @property
    def encoding(self) -> str:  # type: ignore[override]  # the base class has it as an attribute
        """The encoding of the file below."""
        return self._target.encoding


def install() -> tuple[ScrubbedStream, ScrubbedStream]:
    """Replace both streams of this process. Call it before loggers take one."""
    streams = ScrubbedStream(sys.stdout), ScrubbedStream(sys.stderr)
    sys.stdout, sys.stderr = streams
    return streams
