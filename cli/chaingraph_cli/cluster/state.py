"""The state folder of a local cluster: its state file, its lock, its paths.

The supervisor alone writes the file while it runs (`up` writes it before, `down` after); `status`, `down` and the
next `up` read it. The lock keeps a second supervisor out, and the kernel frees it however the first one dies.
"""

from __future__ import annotations

import fcntl
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from chaingraph_cli.cluster import private
from chaingraph_cli.cluster.access.kubeconfig import write_private
from chaingraph_cli.cluster.identity import ProcessIdentity, end
from chaingraph_cli.cluster.programs.probes import Probe
from chaingraph_cli.cluster.spec import ProcessCondition, Report, Tier
from chaingraph_cli.errors import AlreadyRunning, StateInvalid


class Phase(StrEnum):
    """Where the whole cluster stands."""

    STARTING = "Starting"
    RUNNING = "Running"
    STOPPING = "Stopping"
    STOPPED = "Stopped"
    FAILED = "Failed"


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ClusterSettings(_Model):
    """What the person asked `up` for.

    Attributes:
        workers: how many worker processes.
        kubeconfig, context: an existing cluster to run against; both None for a control plane of our own.
        database_url: an existing database; None for a PostgreSQL of our own.
    """

    workers: int = 2
    kubeconfig: Path | None = None
    context: str | None = None
    database_url: str | None = None

    @property
    def own_control_plane(self) -> bool:
        return self.kubeconfig is None and self.context is None


class Identity(_Model):
    """A `ProcessIdentity` as the file holds it."""

    pid: int
    birth: str

    @classmethod
    def of(cls, process: ProcessIdentity | None) -> Identity | None:
        return cls(pid=process.pid, birth=process.birth) if process is not None else None

    def process(self) -> ProcessIdentity:
        return ProcessIdentity(self.pid, self.birth)


class ProcessRecord(_Model):
    """One process of the cluster, as its supervisor last saw it; `since` in seconds since the epoch."""

    name: str
    identity: Identity | None
    port: int
    log: Path
    probe: Probe
    tier: Tier
    stop_signal: int
    condition: ProcessCondition
    since: float
    restarts: int = 0
    last_exit: str = ""

    @classmethod
    def of(cls, report: Report) -> ProcessRecord:
        return cls(
            name=report.spec.name,
            identity=Identity.of(report.identity),
            port=report.spec.port,
            log=report.spec.log,
            probe=report.spec.probe,
            tier=report.spec.tier,
            stop_signal=report.spec.stop_signal,
            condition=report.condition,
            since=report.since,
            restarts=report.restarts,
            last_exit=report.last_exit,
        )


class ClusterState(_Model):
    """All that is remembered of a local cluster between commands and over restarts.

    Attributes:
        phase, message: where it stands; the message says why it failed.
        supervisor: the process that runs (or ran) it.
        ports: by process name; taken again at the next start while they are free.
        outside: folders that belong to this state but lie elsewhere (see `postgres.data_folder`).
        processes: in the order they were started.
    """

    version: Literal[1] = 1
    settings: ClusterSettings = ClusterSettings()
    phase: Phase = Phase.STOPPED
    message: str = ""
    supervisor: Identity | None = None
    ports: dict[str, int] = Field(default_factory=dict)
    outside: tuple[Path, ...] = ()
    processes: tuple[ProcessRecord, ...] = ()


@dataclass(frozen=True)
class StateFolder:
    """The folder given as `--state`; `path` is absolute."""

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
        """Make the folder if it is missing, with a .gitignore: what is in it is secret and of this machine.

        Raises:
            StateInvalid: the folder is not the user's own.
        """
        for folder in (self.path, self.logs):
            private.make_folder(folder)
        write_private(self.path / ".gitignore", "*\n")

    def load(self) -> ClusterState | None:
        """The remembered state; None when there is none here.

        Raises:
            StateInvalid: the file is there and cannot be understood.
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
                f"{self.file} cannot be read: {where}: {first['msg']}.",
                "It was written by another version or damaged. End its processes and remove the folder to start anew.",
            ) from error

    def save(self, state: ClusterState) -> None:
        write_private(self.file, state.model_dump_json(indent=2) + "\n")

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Be the supervisor of this folder until the block ends. Raises AlreadyRunning if there is one."""
        with private.append_to(self._lock) as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as held:
                raise AlreadyRunning(
                    f"A cluster is running already from {self.path}.", "End it first: chaingraph down"
                ) from held
            yield

    @property
    def _lock(self) -> Path:
        return self.path / "lock"


def supervised(state: ClusterState) -> bool:
    """Whether the supervisor that wrote this state lives."""
    return state.supervisor is not None and state.supervisor.process().alive()


def leftovers(state: ClusterState) -> tuple[ProcessRecord, ...]:
    """Recorded processes that still live, those that use others first."""
    living = [each for each in state.processes if each.identity is not None and each.identity.process().alive()]
    return tuple(sorted(living, key=lambda each: -each.tier))


def end_leftovers(state: ClusterState, *, seconds: float = 15.0) -> tuple[ProcessRecord, ...]:
    """End what a supervisor that died left behind, higher tiers first; blocks. Returns what was found."""
    found = leftovers(state)
    for tier in sorted(Tier, reverse=True):
        here = [each for each in found if each.tier == tier and each.identity is not None]
        for each in here:
            if each.identity is not None:
                each.identity.process().signal(signal.Signals(each.stop_signal))
        end([each.identity.process() for each in here if each.identity is not None], seconds=seconds)
    return found


def record(state: ClusterState, report: Report) -> ClusterState:
    """The state with a process's new report in place of its old one."""
    fresh = ProcessRecord.of(report)
    names = [each.name for each in state.processes]
    processes = list(state.processes)
    if fresh.name in names:
        processes[names.index(fresh.name)] = fresh
    else:
        processes.append(fresh)
    return state.model_copy(update={"processes": tuple(processes)})


def age(since: float, now: float | None = None) -> str:
    """How long ago, as kubectl writes ages: `42s`, `17m`, `5h`, `3d`."""
    seconds = max(0, int((time.time() if now is None else now) - since))
    for unit, size in (("d", 86_400), ("h", 3_600), ("m", 60)):
        if seconds >= 2 * size:
            return f"{seconds // size}{unit}"
    return f"{seconds}s"
