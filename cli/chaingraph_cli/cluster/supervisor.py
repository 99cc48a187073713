"""Runs the cluster's processes: starts each and waits until it is ready, restarts what dies, ends all in order.

Used by `up` (in the foreground and detached) and by the tests' fixtures. One asyncio loop; no threads of its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import replace

from chaingraph_cli.cluster import private
from chaingraph_cli.cluster.identity import ProcessIdentity
from chaingraph_cli.cluster.last_lines import size, tail
from chaingraph_cli.cluster.programs.probes import until_healthy
from chaingraph_cli.cluster.spec import ProcessCondition, ProcessSpec, Report, Tier
from chaingraph_cli.errors import StartFailed

_FIRST_BACKOFF_SECONDS = 0.5
_LONGEST_BACKOFF_SECONDS = 30.0
_STEADY_SECONDS = 60.0
_PR_SET_PDEATHSIG = 1  # prctl(2)
# Bound before any fork: between fork and exec nothing may be imported or looked up.
_prctl = ctypes.CDLL(None, use_errno=True).prctl if sys.platform == "linux" else None


class Supervisor:
    """Keeps processes running.

    Args:
        on_change: called on the loop with the new report of a process whenever it changes; must not block.
    """

    def __init__(self, on_change: Callable[[Report], None] = lambda report: None) -> None:
        self._on_change = on_change
        self._reports: dict[str, Report] = {}
        self._running: dict[str, asyncio.subprocess.Process] = {}
        self._keepers: dict[str, asyncio.Task[None]] = {}

    def report(self, name: str) -> Report:
        """The latest report of a process that was started here; KeyError if it never was."""
        return self._reports[name]

    async def start(self, spec: ProcessSpec) -> None:
        """Start a process, wait until it is healthy, and keep it running from then on.

        Raises:
            StartFailed: it ended, or was not healthy within `spec.ready_seconds`. It has been ended by then.
        """
        begin = size(spec.log)
        process = await self._spawn(spec, restarts=0)
        exited = asyncio.create_task(process.wait())
        healthy = asyncio.create_task(until_healthy(spec.probe))
        try:
            await asyncio.wait({exited, healthy}, timeout=spec.ready_seconds, return_when=asyncio.FIRST_COMPLETED)
            if exited.done() or not healthy.done():
                fate = describe_exit(exited.result()) if exited.done() else "was not ready in time"
                await self._end(spec, fate)
                raise StartFailed(_failure(spec, fate, begin), f"The whole log: {spec.log}")
            await healthy
        finally:
            exited.cancel()
            healthy.cancel()
        self._update(spec, ProcessCondition.RUNNING)
        self._keepers[spec.name] = asyncio.create_task(self._keep(spec, process), name=f"keep {spec.name}")

    async def start_or_retry(self, spec: ProcessSpec) -> StartFailed | None:
        """Start a process that the others can do without. One that does not start is tried again, ever more rarely.

        Returns:
            Why it did not start.
        """
        try:
            await self.start(spec)
        except StartFailed as error:
            self._update(spec, ProcessCondition.BACKING_OFF)
            self._keepers[spec.name] = asyncio.create_task(self._revive(spec), name=f"revive {spec.name}")
            return error
        return None

    async def stop(self, name: str) -> None:
        """End one process for good; nothing if it is not running."""
        keeper = self._keepers.pop(name, None)
        if keeper is not None:
            keeper.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await keeper
        await self._end(self._reports[name].spec)

    async def stop_all(self) -> None:
        """End everything, those that use others first."""
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
                # A terminal's Ctrl-C goes to its whole process group; the order of stopping is ours to keep.
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

    async def _keep(self, spec: ProcessSpec, process: asyncio.subprocess.Process) -> None:
        """Start the process again each time it ends, after a pause that grows while it keeps failing."""
        failures = 0
        while True:
            began = time.monotonic()
            code = await process.wait()
            failures = 1 if time.monotonic() - began > _STEADY_SECONDS else failures + 1
            self._update(spec, ProcessCondition.BACKING_OFF, last_exit=describe_exit(code))
            await asyncio.sleep(backoff(failures))
            process = await self._spawn(spec, restarts=self._reports[spec.name].restarts + 1)
            await self._until_healthy_or_gone(spec, process)

    async def _revive(self, spec: ProcessSpec) -> None:
        """Start a process that has not started yet, and keep it running from then on."""
        await asyncio.sleep(backoff(1))
        process = await self._spawn(spec, restarts=self._reports[spec.name].restarts + 1)
        await self._until_healthy_or_gone(spec, process)
        await self._keep(spec, process)

    async def _until_healthy_or_gone(self, spec: ProcessSpec, process: asyncio.subprocess.Process) -> None:
        exited = asyncio.create_task(process.wait())
        healthy = asyncio.create_task(until_healthy(spec.probe))
        try:
            await asyncio.wait({exited, healthy}, return_when=asyncio.FIRST_COMPLETED)
            if not exited.done():
                self._update(spec, ProcessCondition.RUNNING)
        finally:
            exited.cancel()
            healthy.cancel()

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


def backoff(failures: int) -> float:
    """Seconds before the next start, after this many failures in a row (1 or more): 0.5, 1, 2 ... 30."""
    return min(_FIRST_BACKOFF_SECONDS * 2.0 ** min(failures - 1, 16), _LONGEST_BACKOFF_SECONDS)


def describe_exit(code: int) -> str:
    """How a process ended, from its return code as `subprocess` gives it: `exit code 3`, `killed by SIGKILL`."""
    if code >= 0:
        return f"exit code {code}"
    try:
        return f"killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"killed by signal {-code}"


def _failure(spec: ProcessSpec, fate: str, begin: int) -> str:
    shown = tail(spec.log, begin)
    return f"{spec.name} did not start: {fate}." + (f" Its last lines:\n{shown}" if shown else "")


def _die_with_parent(number: signal.Signals) -> Callable[[], None] | None:
    """Run between fork and exec: ask the kernel to send the stop signal when the supervisor dies, however it dies.

    After the change of user, which would clear it (prctl(2)); Linux only, elsewhere the next `up` ends leftovers.
    """
    prctl = _prctl
    if prctl is None:
        return None

    def ask() -> None:
        prctl(_PR_SET_PDEATHSIG, number.value)

    return ask
