"""All runners of this worker.

A runner has one execution at a time. So a runner that is ended affects only the execution that caused it, and no value
of one execution is ever in the memory of a process together with those of another.
"""

from __future__ import annotations

import asyncio
import socket
import time
from collections import deque
from dataclasses import dataclass
from typing import Final

import structlog

from chaingraph_worker import metrics
from chaingraph_worker.errors import StartRefused
from chaingraph_worker.runner import fork_server, limits
from chaingraph_worker.runner.settings import RunnerSettings
from chaingraph_worker.supervision.fork_server import ForkServer
from chaingraph_worker.supervision.killed import Bounds, Cause
from chaingraph_worker.supervision.runner import Runner

_WATCH_SECONDS: Final = 0.25
_KEPT: Final = 4
"""An idle runner that holds more than this share of its memory limit is replaced."""
_MEASURE_SECONDS: Final = 1.0
"""How often an idle runner is measured: asking the system costs more than a short execution."""
_OWN_BYTES: Final = 300 * 2**20
"""Memory of the worker itself, and memory that all its runners share."""
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class PoolSettings:
    """Limits of runners, and how many idle ones to keep."""

    bounds: Bounds
    lease_seconds: float
    log_level: str
    idle: int
    largest_message: int
    serve_without_broken_nodes: bool = False

    @property
    def of_runner(self) -> RunnerSettings:
        """Return the settings of each runner."""
        return RunnerSettings(
            memory_bytes=self.bounds.memory_mb * 1024 * 1024,
            cpu_seconds=self.bounds.cpu_seconds,
            silence_seconds=self.bounds.silence_seconds,
            lease_seconds=self.lease_seconds,
            log_level=self.log_level,
        )


def warn_of_memory(settings: PoolSettings, concurrency: int) -> None:
    """Warn when the container has less memory than its runners may take."""
    have = limits.container_bytes()
    need = concurrency * settings.of_runner.memory_bytes + _OWN_BYTES
    if have is not None and have < need:
        _log.warning(
            "the container's memory limit is below the sum of its runners' limits: a flow may end the whole worker",
            limit_mb=have // 2**20,
            needed_mb=need // 2**20,
            remedy="raise the limit, or lower CHAINGRAPH_RUNNER_MEMORY_MB or DBOS_WORKER_CONCURRENCY",
        )


def fork(settings: PoolSettings) -> socket.socket:
    """Fork the process that forks runners. Call it before this process has threads."""
    return fork_server.start(settings.of_runner)


class Pool:
    """Runners, created on demand and kept for the next execution."""

    def __init__(self, settings: PoolSettings, control: socket.socket) -> None:
        self._settings = settings
        self._server = ForkServer(control, exited=self._exited)
        self._runners: dict[int, Runner] = {}
        self._idle: deque[Runner] = deque()
        self._early: dict[int, int] = {}
        self._closing = False

    @property
    def catalogue(self) -> ForkServer:
        """The installed nodes: `catalogue` and `catalogue_hash` of this."""
        return self._server

    @property
    def notes(self) -> tuple[str, ...]:
        """Warnings about nodes that this worker lacks."""
        return tuple(f"running without some nodes: {each}" for each in self._server.broken)

    @property
    def process_ids(self) -> list[int]:
        """The process ids of the live runners."""
        return list(self._runners)

    async def open(self) -> None:
        """Wait until runners can be created.

        Raises:
            StartRefused: the installed nodes cannot be loaded.
        """
        await self._server.open()
        broken = self._server.broken
        if broken and not self._settings.serve_without_broken_nodes:
            raise StartRefused("; ".join(broken))

    async def keep(self) -> None:
        """Watch the runners until cancelled.

        Raises:
            ForkServerLost: no more runners can be created.
        """
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._server.listen())
            tasks.create_task(self._warm())
            tasks.create_task(self._watch())

    def close(self) -> None:
        """End every runner, and the process that forks them."""
        self._closing = True
        self._server.close()

    async def take(self, namespace: str) -> Runner:
        """Take an idle runner: if possible, the last one of the namespace."""
        runner = next((each for each in self._idle if each.namespace == namespace and each.alive), None)
        if runner is not None:
            self._idle.remove(runner)
            return runner
        while self._idle:
            runner = self._idle.popleft()
            if runner.alive and not runner.knows_secrets:
                return runner
            runner.close()
        return await self._new()

    def give_back(self, runner: Runner) -> None:
        """Return a runner that was taken and is not needed."""
        self._gone(runner)

    async def _new(self) -> Runner:
        runner = Runner(self._settings.bounds, largest_message=self._settings.largest_message, gone=self._gone)
        await runner.start(self._server.fork)
        self._runners[runner.pid] = runner
        if runner.pid in self._early:
            runner.exited(self._early.pop(runner.pid))
        metrics.RUNNERS.set(len(self._runners))
        return runner

    async def _warm(self) -> None:
        """Prepare one runner before the first execution comes."""
        if not self._runners:
            self._gone(await self._new())

    def _exited(self, pid: int, code: int) -> None:
        runner = self._runners.get(pid)
        if runner is None:
            self._early[pid] = code
        else:
            runner.exited(code)

    def _gone(self, runner: Runner) -> None:
        """Handle a runner without an execution."""
        if not runner.alive:
            self._runners.pop(runner.pid, None)
            metrics.RUNNERS.set(len(self._runners))
        elif self._closing or len(self._idle) >= self._settings.idle or self._has_grown(runner):
            runner.close()
        else:
            self._idle.append(runner)

    def _has_grown(self, runner: Runner) -> bool:
        now = time.monotonic()
        if now - runner.measured_at < _MEASURE_SECONDS:
            return False
        runner.measured_at = now
        return runner.own_bytes() > self._settings.of_runner.memory_bytes // _KEPT

    async def _watch(self) -> None:
        due = time.monotonic()
        while True:
            # Seconds in which this worker itself was blocked are nobody's silence: each check counts for one interval.
            due = max(due + _WATCH_SECONDS, time.monotonic())
            await asyncio.sleep(due - time.monotonic())
            for runner in list(self._runners.values()):
                if runner.busy and runner.alive:
                    self._judge(runner)

    def _judge(self, runner: Runner) -> None:
        runner.watch(_WATCH_SECONDS)
        if runner.silent(self._settings.bounds.silence_seconds):
            runner.kill(Cause.SILENT)
            return
        # The kernel rejects allocations beyond the limit; pages shared at the fork come on top.
        if runner.own_bytes() > self._settings.of_runner.memory_bytes:
            runner.kill(Cause.MEMORY)
