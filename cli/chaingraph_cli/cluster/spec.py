"""What the supervisor is told to run, and what it reports.

Specs are built by `control_plane`, `postgres` and `parts`; `state` keeps the reports.
"""

from __future__ import annotations

import signal
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum
from pathlib import Path

from chaingraph_cli.cluster.identity import ProcessIdentity
from chaingraph_cli.cluster.programs.probes import HttpProbe, PostgresProbe


class Tier(IntEnum):
    """Who needs whom: a process may use those of lower tiers, so higher tiers are stopped first."""

    STORAGE = 0
    API = 1
    CONTROLLERS = 2
    PARTS = 3


@dataclass(frozen=True)
class Account:
    """A user of this machine that a process runs as; only root can choose one."""

    name: str
    uid: int
    gid: int


@dataclass(frozen=True)
class ProcessSpec:
    """One local process.

    Attributes:
        name: unique in the cluster, also the name of its log: `worker-2`.
        argv: program and arguments.
        log: its stdout and stderr are appended here.
        probe: how to see that it is ready and healthy.
        tier: its place in the order of stopping.
        port: the loopback port people would look for.
        env: added to the supervisor's own environment.
        account: the user to run as, None for the supervisor's own.
        stop_signal: asks it to end in good order; SIGKILL follows after `stop_seconds`.
        ready_seconds: how long it may take from start to healthy.
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
    """Where a process of the cluster stands."""

    STARTING = "Starting"
    RUNNING = "Running"
    BACKING_OFF = "BackingOff"
    STOPPED = "Stopped"


@dataclass(frozen=True)
class Report:
    """A process as the supervisor sees it; `since` (seconds since the epoch) is when it took this condition."""

    spec: ProcessSpec
    condition: ProcessCondition
    since: float
    identity: ProcessIdentity | None = None
    restarts: int = 0
    last_exit: str = ""
