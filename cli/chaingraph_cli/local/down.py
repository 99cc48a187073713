"""`chaingraph down`: ends a local cluster by the processes on record, each verified to be the one recorded."""

from __future__ import annotations

import shutil
from pathlib import Path

from chaingraph_cli.cluster import detached
from chaingraph_cli.cluster.state import ClusterState, Phase, StateFolder, end_leftovers, supervised
from chaingraph_cli.errors import CliError
from chaingraph_cli.terminal import output

_SECONDS = 60.0


def run(state: Path, *, delete: bool) -> None:
    """Run the command; nothing to do is no error.

    Args:
        state: the state folder.
        delete: also remove it, and what of it lies elsewhere.

    Raises:
        CliError: the supervisor could not be ended.
    """
    console = output.console()
    folder = StateFolder.at(state)
    remembered = folder.load()
    if remembered is None:
        console.print(f"There is no cluster in {folder.path}.")
        return
    ended = stop(folder, remembered)
    console.print(f"Ended {ended} processes of {folder.path}." if ended else f"Nothing was running from {folder.path}.")
    if delete:
        for path in (*remembered.outside, folder.path):
            shutil.rmtree(path, ignore_errors=path != folder.path)
        console.print("Its data is removed.")


def stop(folder: StateFolder, remembered: ClusterState) -> int:
    """End a cluster: its supervisor ends the rest; what is left of a supervisor that died is ended directly.

    Returns:
        How many processes ended, the supervisor included.

    Raises:
        CliError: the supervisor is still there after a minute.
    """
    ended = 0
    if remembered.supervisor is not None and supervised(remembered):
        ended = 1 + sum(1 for each in remembered.processes if each.identity is not None)
        if not detached.end(remembered.supervisor.process(), seconds=_SECONDS):
            raise CliError(
                f"The supervisor (pid {remembered.supervisor.pid}) did not end in {_SECONDS:g} s.",
                f"Its log: {folder.logs / 'supervisor.log'}",
            )
    current = folder.load()
    if current is not None:
        ended = max(ended, len(end_leftovers(current)))
        if current.phase not in (Phase.STOPPED, Phase.FAILED):
            folder.save(current.model_copy(update={"phase": Phase.STOPPED, "supervisor": None}))
    return ended
