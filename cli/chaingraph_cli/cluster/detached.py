"""`python -m chaingraph_cli.cluster.detached FOLDER`: the supervisor as a process of its own, for `up --detach`.

The folder's state file has its settings and its progress. Its own output, such as a traceback, goes to
`logs/supervisor.log`.
"""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import time
from pathlib import Path

from chaingraph_cli.cluster import private, run
from chaingraph_cli.cluster.identity import ProcessIdentity
from chaingraph_cli.cluster.log_tail import size, tail
from chaingraph_cli.cluster.programs import control_plane
from chaingraph_cli.cluster.state import ClusterSettings, ClusterState, Phase, StateFolder
from chaingraph_cli.errors import CliError, StartFailed
from chaingraph_cli.upstream import binaries

_POLL_SECONDS = 0.1
_STOP_SECONDS = 60.0


def start(folder: StateFolder, settings: ClusterSettings) -> ClusterState:
    """Start the supervisor and wait until the cluster is up; returns its state.

    Raises:
        StartFailed: the cluster did not start; the message is the supervisor's.
    """
    before = folder.load() or ClusterState()
    folder.save(before.model_copy(update={"settings": settings, "phase": Phase.STARTING, "message": ""}))
    log = folder.logs / "supervisor.log"
    begin = size(log)
    with private.append_to(log) as output:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "chaingraph_cli.cluster.detached", str(folder.path)],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
            cwd="/",
        )
    try:
        return _await_up(folder, process, log, begin)
    except BaseException:
        identity = ProcessIdentity.of(process.pid)
        if identity is not None:
            end(identity, seconds=_STOP_SECONDS)
        raise


def _await_up(folder: StateFolder, process: subprocess.Popen[bytes], log: Path, begin: int) -> ClusterState:
    while True:
        ended = process.poll() is not None
        state = folder.load() or ClusterState()
        if ended and state.phase == Phase.FAILED:
            raise StartFailed(state.message)
        if ended:
            raise StartFailed(f"The supervisor exited while starting:\n{tail(log, begin)}", f"Full log: {log}")
        if state.phase == Phase.RUNNING and state.supervisor is not None and state.supervisor.pid == process.pid:
            return state
        time.sleep(_POLL_SECONDS)


def end(process: ProcessIdentity, *, seconds: float) -> bool:
    """Stop a supervisor and its processes; returns whether it exited in time. Blocks."""
    process.signal(signal.SIGTERM)
    deadline = time.monotonic() + seconds
    while process.alive() and time.monotonic() < deadline:
        time.sleep(_POLL_SECONDS)
    return not process.alive()


def main() -> None:
    """Run the cluster of the folder in the only argument."""
    folder = StateFolder.at(Path(sys.argv[1]))
    state = folder.load() or ClusterState()
    settings = state.settings
    try:
        programs = binaries.ensure(control_plane.BINARIES) if settings.own_control_plane else {}
        asyncio.run(run.run(folder, settings, programs, on_report=lambda report: None, on_ready=lambda state: None))
    except CliError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
