"""Runs the processes of the cluster: starts them, waits until they are ready, restarts and stops them in order.

supervisord, circus and honcho know no health checks, no order of stopping by tier and no death with the parent.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import signal
import time
from collections.abc import Callable
from dataclasses import replace

from chaingraph_cli.cluster import private
from chaingraph_cli.cluster.identity import ProcessIdentity
from chaingraph_cli.cluster.log_tail import size, tail
from chaingraph_cli.cluster.programs.probes import until_healthy
from chaingraph_cli.cluster.spec import ProcessCondition, ProcessSpec, Report, Tier
from chaingraph_cli.errors import StartFailed

_FIRST_BACKOFF_SECONDS = 0.5
_LONGEST_BACKOFF_SECONDS = 30.0
_STEADY_SECONDS = 60.0
_PR_SET_PDEATHSIG = 1  # prctl(2)
# Bound before any fork: between fork and exec nothing may be imported or looked up.
_prctl = ctypes.CDLL(None, use_errno=True).prctl


class Supervisor:
    """Keeps processes running.

    Args:
        on_change: called on the loop with each new report of a process; must not block.
    """

    def __init__(self, on_change: Callable[[Report], None] = lambda report: None) -> None:
        self._on_change = on_change
        self._reports: dict[str, Report] = {}
        self._running: dict[str, asyncio.subprocess.Process] = {}
        self._keepers: dict[str, asyncio.Task[None]] = {}

    def report(self, name: str) -> Report:
        """Return the latest report of a process; KeyError if it was never started."""
        return self._reports[name]

    async def start(self, spec: ProcessSpec) -> None:
        """Start a process, wait until it is healthy, and keep it running.

        Raises:
            StartFailed: it exited or was not healthy within `spec.ready_seconds`; it is not running.
        """
        begin = size(spec.log)
        process = await self._spawn(spec, restarts=0)
        if not await _healthy(spec, process, spec.ready_seconds):
            code = process.returncode
            fate = describe_exit(code) if code is not None else "was not ready in time"
            await self._end(spec, fate)
            raise StartFailed(_failure(spec, fate, begin), f"Full log: {spec.log}")
        self._update(spec, ProcessCondition.RUNNING)
        self._keep(spec, process)

    async def start_or_retry(self, spec: ProcessSpec) -> StartFailed | None:
        """Start a process that the others do not need, and retry it with a growing backoff if it fails.

        Returns:
            Why it did not start.
        """
        try:
            await self.start(spec)
        except StartFailed as error:
            self._update(spec, ProcessCondition.BACKING_OFF)
            self._keep(spec, None)
            return error
        return None

    async def stop(self, name: str) -> None:
        """Stop a process for good; do nothing if it is not running."""
        keeper = self._keepers.pop(name, None)
        if keeper is not None:
            keeper.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await keeper
        await self._end(self._reports[name].spec)

    async def stop_all(self) -> None:
        """Stop all processes, highest tiers first."""
        for tier in sorted(Tier, reverse=True):
            names = [name for name, report in self._reports.items() if report.spec.tier == tier]
            await asyncio.gather(*(self.stop(name) for name in names))

    async def _spawn(self, spec: ProcessSpec, restarts: int) -> asyncio.subprocess.Process:
        spec.log.parent.mkdir(parents=True, exist_ok=True)
        account = spec.account
        with private.append_to(spec.log) as log:
            process = await asyncio.create_subprocess_exec(
                *spec.argv,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, **spec.env},
                # A terminal sends Ctrl-C to its whole process group; the order of stopping is own.
                start_new_session=True,
                umask=private.UMASK,
                preexec_fn=_die_with_parent(spec.stop_signal),
                user=account.uid if account else None,
                group=account.gid if account else None,
                extra_groups=[] if account else None,
            )
        self._running[spec.name] = process
        self._reports[spec.name] = Report(
            spec,
            ProcessCondition.STARTING,
            time.time(),
            ProcessIdentity.of(process.pid),
            restarts,
            self._reports[spec.name].last_exit if spec.name in self._reports else "",
        )
        self._on_change(self._reports[spec.name])
        return process

    def _keep(self, spec: ProcessSpec, process: asyncio.subprocess.Process | None) -> None:
        self._keepers[spec.name] = asyncio.create_task(self._restart(spec, process), name=f"keep {spec.name}")

    async def _restart(self, spec: ProcessSpec, process: asyncio.subprocess.Process | None) -> None:
        """Restart a process each time it exits, with a backoff that grows while it fails; None: it has not started."""
        failures = 0 if process is not None else 1
        while True:
            if process is not None:
                began = time.monotonic()
                code = await process.wait()
                failures = 1 if time.monotonic() - began > _STEADY_SECONDS else failures + 1
                self._update(spec, ProcessCondition.BACKING_OFF, last_exit=describe_exit(code))
            await asyncio.sleep(backoff(failures))
            process = await self._spawn(spec, restarts=self._reports[spec.name].restarts + 1)
            if await _healthy(spec, process):
                self._update(spec, ProcessCondition.RUNNING)

    async def _end(self, spec: ProcessSpec, fate: str = "") -> None:
        process = self._running.pop(spec.name, None)
        if process is not None and process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(spec.stop_signal)
            try:
                await asyncio.wait_for(process.wait(), spec.stop_seconds)
            except TimeoutError:
                with contextlib.suppress(ProcessLookupError):
                    process.kill()
                await process.wait()
        self._update(spec, ProcessCondition.STOPPED, fate)

    def _update(self, spec: ProcessSpec, condition: ProcessCondition, last_exit: str | None = None) -> None:
        before = self._reports[spec.name]
        if before.condition == condition and last_exit is None:
            return
        alive = condition in (ProcessCondition.STARTING, ProcessCondition.RUNNING)
        self._reports[spec.name] = replace(
            before,
            condition=condition,
            since=time.time(),
            identity=before.identity if alive else None,
            last_exit=before.last_exit if last_exit is None else last_exit,
        )
        self._on_change(self._reports[spec.name])


async def _healthy(spec: ProcessSpec, process: asyncio.subprocess.Process, seconds: float | None = None) -> bool:
    """Wait until a process is healthy; False if it exits or the time is over."""
    exited = asyncio.create_task(process.wait())
    healthy = asyncio.create_task(until_healthy(spec.probe))
    try:
        await asyncio.wait({exited, healthy}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        if exited.done() or not healthy.done():
            return False
        await healthy
        return True
    finally:
        exited.cancel()
        healthy.cancel()


def backoff(failures: int) -> float:
    """Return the seconds before the next start, after this many failures in a row: 0.5, 1, 2 ... 30."""
    return min(_FIRST_BACKOFF_SECONDS * 2.0 ** min(failures - 1, 16), _LONGEST_BACKOFF_SECONDS)


def describe_exit(code: int) -> str:
    """Describe a return code of `subprocess`: `exit code 3`, `killed by SIGKILL`."""
    if code >= 0:
        return f"exit code {code}"
    try:
        return f"killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"killed by signal {-code}"


def _failure(spec: ProcessSpec, fate: str, begin: int) -> str:
    shown = tail(spec.log, begin)
    return f"{spec.name} did not start: {fate}." + (f" Its last lines:\n{shown}" if shown else "")


def _die_with_parent(number: signal.Signals) -> Callable[[], None]:
    """Return a function for the child between fork and exec: the kernel sends the signal when the supervisor dies.

    It runs after the change of user, which would clear it (prctl(2)).
    """
    prctl = _prctl

    def ask() -> None:
        prctl(_PR_SET_PDEATHSIG, number.value)

    return ask
