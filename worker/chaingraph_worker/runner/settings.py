"""The settings of a runner."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RunnerSettings:
    """Limits and logging of a runner.

    `silence_seconds`: how long its event loop may be blocked. `lease_seconds`: how long it continues without a
    heartbeat of its worker.
    """

    memory_bytes: int
    cpu_seconds: int
    silence_seconds: float
    lease_seconds: float
    log_level: str
