"""The processes of the cluster: specs for the supervisor, and its reports."""

from __future__ import annotations

import signal
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum
from pathlib import Path

from chaingraph_cli.cluster.identity import ProcessIdentity
from chaingraph_cli.cluster.programs.probes import HttpProbe, PostgresProbe


class Tier(IntEnum):
    """A process depends on lower tiers alone, so higher tiers stop first."""

    STORAGE = 0
    API = 1
    CONTROLLERS = 2
    COMPONENTS = 3


@dataclass(frozen=True)
class Account:
    """A user of this machine to run a process as; only root can choose one."""

    name: str
    uid: int
    gid: int


@dataclass(frozen=True)
class ProcessSpec:
    """A local process.

    Attributes:
        name: unique in the cluster, also the name of its log: `worker-2`.
        argv: program and arguments.
        log: its stdout and stderr are appended here.
        probe: tells whether it is ready and healthy.
        tier: its place in the order of stopping.
        port: its main port on loopback.
        env: added to the environment of the supervisor.
        account: the user to run as; None for the supervisor's own.
        stop_signal: requests a clean exit; SIGKILL follows after `stop_seconds`.
        ready_seconds: the limit from start to healthy.
    """

    name: str
    argv: tuple[str, ...]
    log: Path
    probe: HttpProbe | PostgresProbe
    tier: Tier
    port: int
    env: Mapping[str, str] = field(default_factory=dict)
    account: Account | None = None
    stop_signal: signal.Signals = signal.SIGTERM
    stop_seconds: float = 15.0
    ready_seconds: float = 120.0


class ProcessCondition(StrEnum):
    """The condition of a process."""

    STARTING = "Starting"
    RUNNING = "Running"
    BACKING_OFF = "BackingOff"
    STOPPED = "Stopped"


@dataclass(frozen=True)
class Report:
    """The state of a process; `since` is when it took this condition, in seconds since the epoch."""

    spec: ProcessSpec
    condition: ProcessCondition
    since: float
    identity: ProcessIdentity | None = None
    restarts: int = 0
    last_exit: str = ""
