"""A shell that stays open, so that what one command exports the next one has, as at a person's terminal."""

from __future__ import annotations

import os
import queue
import signal
import subprocess
import threading
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self


class Shell:
    """bash in a folder. Leaving the block ends what its commands left in the background."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self.folder = folder
        self._process = subprocess.Popen(
            ["bash", "--noprofile", "--norc"],
            cwd=folder,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            # A group of its own: its background jobs are in it and end with it.
            start_new_session=True,
        )
        self._lines: queue.Queue[str] = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._lines.put(line)

    def run(self, command: str, *, within: float) -> tuple[int, str]:
        """The exit code of a command and what it printed, both streams together.

        Raises:
            TimeoutError: it did not end; the message is what it printed so far.
        """
        mark = f"end-{uuid.uuid4().hex}"
        assert self._process.stdin is not None
        self._process.stdin.write(f"{command}\nprintf '\\n{mark} %d\\n' $?\n")
        self._process.stdin.flush()
        printed: list[str] = []
        deadline = time.monotonic() + within
        while True:
            try:
                line = self._lines.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                raise TimeoutError("".join(printed)) from None
            if line.startswith(mark):
                return int(line.split()[1]), "".join(printed).strip("\n")
            printed.append(line)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()


OpenShell = Callable[[dict[str, str]], Shell]
