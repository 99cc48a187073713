"""`chaingraph down`: stops a local cluster by its recorded processes."""

from __future__ import annotations

import shutil
from pathlib import Path

from chaingraph_cli.cluster import detached
from chaingraph_cli.cluster.state import ClusterState, Phase, StateFolder, end_leftovers, supervised
from chaingraph_cli.errors import CliError
from chaingraph_cli.terminal import output

_SECONDS = 60.0


def run(state: Path, *, delete: bool) -> None:
    """Run the command; no cluster is not an error.

    Args:
        state: the state folder.
        delete: delete it, with its data elsewhere.

    Raises:
        CliError: the supervisor did not exit.
    """
    console = output.console()
    folder = StateFolder.at(state)
    remembered = folder.load()
    if remembered is None:
        console.print(f"No cluster in {folder.path}.")
        return
    ended = stop(folder, remembered)
    console.print(f"Stopped {ended} processes of {folder.path}." if ended else f"No processes of {folder.path}.")
    if delete:
        for path in (*remembered.outside, folder.path):
            shutil.rmtree(path, ignore_errors=path != folder.path)
        console.print("Deleted its data.")


def stop(folder: StateFolder, remembered: ClusterState) -> int:
    """Stop a cluster by its supervisor; stop the processes of a dead supervisor directly.

    Returns:
        The number of stopped processes, the supervisor included.

    Raises:
        CliError: the supervisor did not exit within a minute.
    """
    ended = 0
    if remembered.supervisor is not None and supervised(remembered):
        ended = 1 + sum(1 for each in remembered.processes if each.identity is not None)
        if not detached.end(remembered.supervisor, seconds=_SECONDS):
            raise CliError(
                f"The supervisor (pid {remembered.supervisor.pid}) did not exit within {_SECONDS:g} s.",
                f"Its log: {folder.logs / 'supervisor.log'}",
            )
    current = folder.load()
    if current is not None:
        ended = max(ended, len(end_leftovers(current)))
        if current.phase not in (Phase.STOPPED, Phase.FAILED):
            folder.save(current.model_copy(update={"phase": Phase.STOPPED, "supervisor": None}))
    return ended
