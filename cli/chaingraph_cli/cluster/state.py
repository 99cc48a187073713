"""The state folder of a local cluster: its state file, its lock and its paths.

While the supervisor runs, it alone writes the file (`up` writes it before, `down` after); `status`, `down` and the next
`up` read it. The lock keeps a second supervisor out; the kernel releases it when the first one dies.
"""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from chaingraph_cli.cluster import private
from chaingraph_cli.cluster.identity import ProcessIdentity, end
from chaingraph_cli.cluster.spec import Report, Tier
from chaingraph_cli.errors import AlreadyRunning, StateInvalid


class Phase(StrEnum):
    """The phase of the cluster."""

    STARTING = "Starting"
    RUNNING = "Running"
    STOPPING = "Stopping"
    STOPPED = "Stopped"
    FAILED = "Failed"


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ClusterSettings(_Model):
    """The settings of `up`.

    Attributes:
        workers: the number of worker processes.
        kubeconfig, context: an existing cluster; both None for a control plane of our own.
        database_url: an existing database; None for a PostgreSQL of our own.
    """

    workers: int = 2
    kubeconfig: Path | None = None
    context: str | None = None
    database_url: str | None = None

    @property
    def own_control_plane(self) -> bool:
        return self.kubeconfig is None and self.context is None


class ClusterState(_Model):
    """The state of a local cluster between commands and across restarts.

    Attributes:
        phase, message: the message has the error of the phase Failed, else a warning.
        supervisor: the process that runs (or ran) it.
        ports: by process name; the next start uses them again if they are free.
        outside: folders of this cluster outside the state folder (see `postgres.data_folder`).
        processes: in the order of their start.
    """

    version: Literal[1] = 1
    settings: ClusterSettings = ClusterSettings()
    phase: Phase = Phase.STOPPED
    message: str = ""
    supervisor: ProcessIdentity | None = None
    ports: dict[str, int] = Field(default_factory=dict)
    outside: tuple[Path, ...] = ()
    processes: tuple[Report, ...] = ()


@dataclass(frozen=True)
class StateFolder:
    """The folder of `--state`; `path` is absolute."""

    path: Path

    @classmethod
    def at(cls, path: Path) -> StateFolder:
        return cls(path.expanduser().resolve())

    @property
    def file(self) -> Path:
        return self.path / "state.json"

    @property
    def kubeconfig(self) -> Path:
        return self.path / "kubeconfig"

    @property
    def logs(self) -> Path:
        return self.path / "logs"

    def create(self) -> None:
        """Make the folder if it is missing, with a .gitignore: its content is secret and of this machine.

        Raises:
            StateInvalid: the folder belongs to another user or is shared.
        """
        for folder in (self.path, self.logs):
            private.make_folder(folder)
        private.write(self.path / ".gitignore", "*\n")

    def load(self) -> ClusterState | None:
        """Read the state; None if there is none.

        Raises:
            StateInvalid: the file is invalid.
        """
        try:
            text = self.file.read_text(encoding="utf-8")
        except (FileNotFoundError, NotADirectoryError):
            return None
        try:
            return ClusterState.model_validate_json(text)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            where = ".".join(str(part) for part in first["loc"]) or "the whole file"
            raise StateInvalid(
                f"Cannot read {self.file}: {where}: {first['msg']}.",
                "It is damaged or of another version. Stop its processes and remove the folder.",
            ) from error

    def save(self, state: ClusterState) -> None:
        private.write(self.file, state.model_dump_json(indent=2) + "\n")

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the folder's lock for the block. Raises AlreadyRunning if another supervisor holds it."""
        with private.append_to(self.path / "lock") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as held:
                raise AlreadyRunning(
                    f"A cluster is already running from {self.path}.", "Stop it first: chaingraph down"
                ) from held
            yield


def supervised(state: ClusterState) -> bool:
    """Whether the supervisor of this state is alive."""
    return state.supervisor is not None and state.supervisor.alive()


def leftovers(state: ClusterState) -> tuple[Report, ...]:
    """Return the recorded processes that are alive, highest tiers first."""
    living = [each for each in state.processes if each.identity is not None and each.identity.alive()]
    return tuple(sorted(living, key=lambda each: -each.spec.tier))


def end_leftovers(state: ClusterState, *, seconds: float = 15.0) -> tuple[Report, ...]:
    """End the processes of a supervisor that died, highest tiers first; blocks. Returns them."""
    found = leftovers(state)
    for tier in sorted(Tier, reverse=True):
        here = [(each.identity, each.spec.stop_signal) for each in found if each.spec.tier == tier and each.identity]
        for identity, stop_signal in here:
            identity.signal(stop_signal)
        end([identity for identity, _ in here], seconds=seconds)
    return found


def record(state: ClusterState, report: Report) -> ClusterState:
    """Return the state with the new report of a process in place of its old one."""
    reports = {each.spec.name: each for each in state.processes} | {report.spec.name: report}
    return state.model_copy(update={"processes": tuple(reports.values())})
