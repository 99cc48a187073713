"""Which process a recorded pid really is. A pid alone is not enough: the kernel hands it out again.

The supervisor records an identity for everything it starts; `down`, `status` and the next `up` act only on
processes whose identity still holds, and never look for a process by its name.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

_POLL_SECONDS = 0.02


@dataclass(frozen=True)
class ProcessIdentity:
    """A process, told apart from every other that may get its pid later.

    Attributes:
        pid: the process id.
        birth: opaque; on Linux the boot's id and the process's start in clock ticks since that boot (proc(5),
            field 22), which no change of the wall clock alters; elsewhere the start time to the second.
    """

    pid: int
    birth: str

    @classmethod
    def of(cls, pid: int) -> ProcessIdentity | None:
        """The identity of a live process, None when there is none (a zombie counts as gone)."""
        birth = _birth(pid)
        return cls(pid, birth) if birth is not None else None

    def alive(self) -> bool:
        return _birth(self.pid) == self.birth

    def signal(self, number: signal.Signals) -> None:
        """Send a signal if the process is still the same one; silently nothing otherwise."""
        if self.alive():
            try:
                os.kill(self.pid, number)
            except ProcessLookupError:
                return


def end(processes: Iterable[ProcessIdentity], *, seconds: float) -> tuple[ProcessIdentity, ...]:
    """SIGTERM, wait up to `seconds` in all, SIGKILL what is left; blocks. Returns those that had to be killed."""
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
def _boot() -> str | None:
    """This boot's id on Linux, None elsewhere."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return None


def _birth(pid: int) -> str | None:
    boot = _boot()
    return birth_by_ps(pid) if boot is None else _birth_by_proc(pid, boot)


def _birth_by_proc(pid: int, boot: str) -> str | None:
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return None
    # The command's name is in parentheses and may hold anything, further ones too.
    fields = stat[stat.rindex(b")") + 2 :].split()
    return None if fields[0] in (b"Z", b"X") else f"{boot}:{int(fields[19])}"


def birth_by_ps(pid: int) -> str | None:
    """The start time to the second as ps(1) gives it, for systems without /proc; None for a dead or zombie one."""
    done = subprocess.run(
        ["ps", "-o", "stat=,lstart=", "-p", str(pid)],
        env={**os.environ, "LC_ALL": "C", "TZ": "UTC"},
        capture_output=True,
        text=True,
        check=False,
    )
    condition, _, started = done.stdout.strip().partition(" ")
    return started.strip() if started and not condition.startswith("Z") else None
