"""Identifies processes beyond their pid, because the kernel reuses pids.

The supervisor records the identity of each process that it starts. `down`, `status` and the next `up` act only on
processes whose identity still matches, and never find a process by its name. psutil has only a start time that moves
with the wall clock.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

_POLL_SECONDS = 0.02


@dataclass(frozen=True)
class ProcessIdentity:
    """A process.

    Attributes:
        pid: the process id.
        birth: the id of the boot and the start in clock ticks since that boot (proc(5), field 22).
    """

    pid: int
    birth: str

    @classmethod
    def of(cls, pid: int) -> ProcessIdentity | None:
        """Return the identity of a live process; None if it is gone or a zombie."""
        birth = _birth(pid)
        return cls(pid, birth) if birth is not None else None

    def alive(self) -> bool:
        return _birth(self.pid) == self.birth

    def signal(self, number: int) -> None:
        """Send a signal if the process is still the same one."""
        if self.alive():
            try:
                os.kill(self.pid, number)
            except ProcessLookupError:
                return


def end(processes: Iterable[ProcessIdentity], *, seconds: float) -> tuple[ProcessIdentity, ...]:
    """Send SIGTERM, wait up to `seconds` in total, and kill the rest; blocks. Returns the killed processes."""
    remaining = [each for each in processes if each.alive()]
    for each in remaining:
        each.signal(signal.SIGTERM)
    remaining = _wait_gone(remaining, seconds)
    for each in remaining:
        each.signal(signal.SIGKILL)
    _wait_gone(remaining, seconds=5)
    return tuple(remaining)


def _wait_gone(processes: list[ProcessIdentity], seconds: float) -> list[ProcessIdentity]:
    deadline = time.monotonic() + seconds
    while processes and time.monotonic() < deadline:
        time.sleep(_POLL_SECONDS)
        processes = [each for each in processes if each.alive()]
    return processes


@cache
def _boot() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()


def _birth(pid: int) -> str | None:
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return None
    # The name of the command is in parentheses and may contain more of them.
    fields = stat[stat.rindex(b")") + 2 :].split()
    return None if fields[0] in (b"Z", b"X") else f"{_boot()}:{int(fields[19])}"
