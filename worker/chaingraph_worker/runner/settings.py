"""What a runner is told when it is made."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RunnerSettings:
    """Limits of each runner, and how it logs.

    `silence_seconds`: how long its event loop may be held up. `lease_seconds`: how long it goes on without a sign of
    its worker.
    """

    memory_bytes: int
    cpu_seconds: int
    silence_seconds: float
    lease_seconds: float
    log_level: str
