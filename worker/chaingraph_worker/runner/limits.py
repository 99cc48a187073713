"""Limits of a runner, set with the kernel: memory, CPU time, and a life that ends with its worker's.

Linux supports all of them, macOS only the CPU time and the alarm.
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import sys
from contextlib import suppress
from pathlib import Path
from typing import Final

NICENESS: Final = 2
"""Priority of a runner below its worker, which has leases to renew."""
_PR_SET_PDEATHSIG: Final = 1
_PR_SET_DUMPABLE: Final = 4
_OOM_SCORE: Final = "800"
"""When memory runs out all the same, the kernel kills a runner before anything else in the container."""
_NO_LIMIT: Final = 2**60
"""Version 1 of control groups reports a larger value for no limit."""
_LINUX: Final = sys.platform == "linux"


def die_with_parent() -> None:
    """Have the kernel end this process as soon as its parent has ended."""
    if _LINUX:
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def stand_back() -> None:
    """Lower the process's priority for processor and memory below the worker's."""
    with suppress(OSError):
        os.nice(NICENESS)
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(_OOM_SCORE)


def keep_memory_private() -> None:
    """Write no core dump of this process, and close its memory to other processes of the same user."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if _LINUX:
        # The limit is not enough: a core dump into a pipe ignores it.
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_DUMPABLE, 0)


def limit_memory(bytes_: int) -> None:
    """Limit the memory beyond the process's current use. Allocations beyond it fail."""
    used = data_bytes(os.getpid())
    if used is not None:
        resource.setrlimit(resource.RLIMIT_DATA, (used + bytes_, used + bytes_))


def limit_cpu(seconds: int) -> None:
    """Limit the processor time from now on, in seconds; SIGXCPU ends the process then."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    soft = int(usage.ru_utime + usage.ru_stime) + seconds + 1
    resource.setrlimit(resource.RLIMIT_CPU, (soft if hard == resource.RLIM_INFINITY else min(soft, hard), hard))


def die_in(seconds: float) -> None:
    """Have the kernel end this process with SIGALRM after this many seconds, unless called again; 0 for never."""
    signal.setitimer(signal.ITIMER_REAL, seconds)


def data_bytes(pid: int) -> int | None:
    """Return the private writable memory of a process, in bytes; None when the system does not report it."""
    return _status(pid, "VmData:")


def resident_bytes(pid: int) -> int | None:
    """Return the resident private memory of a process, in bytes; None when the system does not report it."""
    return _status(pid, "RssAnon:")


def processor_of(pid: int) -> tuple[bool, float] | None:
    """Return whether a process's main thread wants the processor, and the CPU time it has had, in seconds.

    None when the system does not report it.
    """
    with suppress(OSError, ValueError, IndexError):
        # After the name, which may have any characters: state, 10 more fields, and the time in user and system mode.
        fields = Path(f"/proc/{pid}/task/{pid}/stat").read_text().rpartition(")")[2].split()
        return fields[0] == "R", (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return None


def container_bytes() -> int | None:
    """Return the memory limit of this process's container, in bytes; None without a readable one."""
    for path in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        with suppress(OSError, ValueError):
            limit = int(Path(path).read_text())
            return limit if limit < _NO_LIMIT else None
    return None


def _status(pid: int, field: str) -> int | None:
    with suppress(OSError, ValueError, IndexError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith(field):
                return int(line.split()[1]) * 1024
    return None
