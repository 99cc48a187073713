"""`chaingraph up`: finds or builds the programs, starts the cluster and prints the next commands."""

from __future__ import annotations

import asyncio
import shlex
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from chaingraph_cli.cluster import detached
from chaingraph_cli.cluster import run as cluster_run
from chaingraph_cli.cluster.programs import control_plane
from chaingraph_cli.cluster.programs.components import egress_allowed
from chaingraph_cli.cluster.spec import ProcessCondition, Report
from chaingraph_cli.cluster.state import ClusterSettings, ClusterState, Phase, StateFolder, supervised
from chaingraph_cli.errors import AlreadyRunning, CliError
from chaingraph_cli.local.examples import first_example
from chaingraph_cli.terminal import output
from chaingraph_cli.upstream import binaries
from chaingraph_cli.upstream.build import BuildProgress as BuildProgress

_KUBECTL = "kubectl"
_PLAIN_PROGRESS_SECONDS = 15.0


def run(state: Path, settings: ClusterSettings, *, detach: bool) -> None:
    """Run the command.

    Args:
        state: the state folder; made if it is missing.
        settings: what to run.
        detach: return once all processes are healthy, and leave them running.

    Raises:
        CliError: the cluster did not start, or already runs with other settings.
    """
    if sys.platform != "linux":
        raise CliError("`chaingraph up` needs Linux.", "Install ChainGraph in a cluster with Helm instead.")
    console = output.console()
    folder = StateFolder.at(state)
    before = folder.load()
    if before is not None and supervised(before):
        _say_running(console, folder, before, settings)
        return
    programs = programs_for(settings, output.console(stderr=True))
    folder.create()
    began = time.monotonic()
    if detach:
        with console.status("Starting the cluster ..."):
            after = detached.start(folder, settings)
        took = time.monotonic() - began
        _say_up(console, folder, settings, took, detached_=True, message=after.message)
        return
    asyncio.run(
        cluster_run.run(
            folder,
            settings,
            programs,
            on_report=lambda report: console.print(_line(report), markup=True),
            on_ready=lambda state: _say_up(
                console, folder, settings, time.monotonic() - began, detached_=False, message=state.message
            ),
        )
    )
    console.print("The cluster has stopped. The next [bold]chaingraph up[/] continues with its data.", markup=True)


def programs_for(settings: ClusterSettings, console: Console) -> dict[str, Path]:
    """Return the programs for these settings; builds missing ones with a progress display.

    Raises:
        BinariesMissing, BuildFailed: see `binaries.ensure`.
    """
    if not settings.own_control_plane:
        return {}
    with _building(console) as on_progress:
        return binaries.ensure([*control_plane.BINARIES, _KUBECTL], on_progress)


class _Display:
    """Shows the progress of a build: a bar on a terminal, else a line for each program and every 15 seconds."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._bars: Progress | None = None
        self._last_label = ""
        self._last_seconds = 0.0

    def __call__(self, progress: BuildProgress) -> None:
        label = f"{progress.program} ({progress.position} of {progress.programs})"
        if not progress.packages:
            label += ", fetching sources"
        if not self._console.is_terminal:
            if label != self._last_label or progress.seconds - self._last_seconds >= _PLAIN_PROGRESS_SECONDS:
                self._last_label, self._last_seconds = label, progress.seconds
                compiled = f"{progress.compiled} of at most {progress.packages} packages compiled, "
                self._console.print(
                    f"Building {label}: {compiled if progress.packages else ''}{progress.seconds:.0f} s"
                )
            return
        if self._bars is None:
            self._console.print("Building the control plane from source. This takes minutes, once per machine.")
            self._bars = Progress(
                SpinnerColumn(),
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn("packages"),
                TimeElapsedColumn(),
                console=self._console,
                transient=True,
            )
            self._bars.start()
            self._bars.add_task(label)
        self._bars.update(
            self._bars.task_ids[0],
            description=label,
            completed=progress.compiled,
            total=progress.packages or None,
        )

    def close(self) -> None:
        if self._bars is not None:
            self._bars.stop()


@contextmanager
def _building(console: Console) -> Iterator[_Display]:
    display = _Display(console)
    try:
        yield display
    finally:
        display.close()


def _line(report: Report) -> str:
    style = {ProcessCondition.RUNNING: "green", ProcessCondition.BACKING_OFF: "red"}.get(report.condition, "dim")
    pid = f"pid {report.identity.pid}" if report.identity else report.last_exit
    return f"{time.strftime('%H:%M:%S')} [{style}]{report.condition:<10}[/] {report.spec.name:<24} {escape(pid)}"


def _say_running(console: Console, folder: StateFolder, before: ClusterState, settings: ClusterSettings) -> None:
    """Report the running cluster; an error if its settings differ.

    Raises:
        AlreadyRunning: the settings differ.
    """
    if before.settings != settings:
        raise AlreadyRunning(
            f"A cluster is already running from {folder.path}, with other settings "
            f"({before.settings.workers} workers).",
            "Stop it first: chaingraph down",
        )
    what = "is starting" if before.phase == Phase.STARTING else "is already running"
    pid = before.supervisor.pid if before.supervisor else "-"
    console.print(f"The cluster of {folder.path} {what} (supervisor pid {pid}).")
    console.print(f"\n  export KUBECONFIG={folder.kubeconfig}")


def _say_up(
    console: Console, folder: StateFolder, settings: ClusterSettings, seconds: float, *, detached_: bool, message: str
) -> None:
    found = binaries.find(_KUBECTL)
    kubectl = _KUBECTL if found is None or shutil.which(_KUBECTL) else str(found)
    state = "" if folder.path == Path.cwd() / ".chaingraph" else f" --state {escape(str(folder.path))}"
    workers = "1 worker" if settings.workers == 1 else f"{settings.workers} workers"
    allowed = escape(egress_allowed() or "public addresses only")
    lines = [
        f"[bold green]ChainGraph is up[/] after {seconds:.1f} s: operator and {workers}. Next:",
        "",
        f"  export KUBECONFIG={escape(str(folder.kubeconfig))}",
        f"  {kubectl} apply -f {escape(shlex.quote(str(first_example())))}",
        f"  {kubectl} get executions --watch",
        "",
        f"Flows may call HTTP services at {allowed} (CHAINGRAPH_EGRESS_ALLOW) and no other private address.",
        f"Health: chaingraph status{state}   Logs: {escape(str(folder.logs))}",
        f"Stop it: chaingraph down{state}" if detached_ else "Stop it: Ctrl-C",
    ]
    for line in lines:
        console.print(line, markup=True)
    if message:
        console.print(f"\n[bold red]Warning:[/] {escape(message)}", markup=True)
