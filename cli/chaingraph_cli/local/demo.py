"""`chaingraph demo`: a cluster on this machine, the examples run on it, their results, and all of it gone again."""

from __future__ import annotations

import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Final

from rich.console import Console

from chaingraph_cli.cluster import detached
from chaingraph_cli.cluster.programs import binaries
from chaingraph_cli.cluster.state import ClusterSettings, StateFolder, supervised
from chaingraph_cli.errors import CliError
from chaingraph_cli.local import down, examples, up
from chaingraph_cli.local.demo_view import DemoRow, print_results, watching
from chaingraph_cli.local.examples import Example
from chaingraph_cli.local.resources import Resources, new_namespace
from chaingraph_cli.terminal.output import console as make_console
from chaingraph_crds.execution import ExecutionPhase

NAMESPACE: Final = "demo"
DEFAULT_STATE: Final = Path(".chaingraph")
_END_SECONDS: Final = 180.0
_LOOK_SECONDS: Final = 0.25
_INTERRUPTED: Final = 130
"""The exit code of a process that SIGINT ended, by the shells' convention."""


def run(state: Path | None, folder: Path | None, *, keep: bool) -> int:
    """Run the command; returns its exit code: 0 only if every execution came to what its example says.

    Args:
        state: the state folder. None: `.chaingraph` with `keep`, else a new one that is removed.
        folder: the folder of the examples; None for the checkout's.
        keep: leave the cluster running. An interrupted demo is not kept.

    Raises:
        CliError: the cluster did not come up, or there are no examples.
    """
    console = make_console()
    source = examples.find(folder)
    found = examples.load(source)
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        with _cluster(console, state, keep=keep) as cluster:
            with new_namespace(cluster.folder.kubeconfig, NAMESPACE) as resources:
                rows = _run_examples(console, resources, found, source)
                namespace = resources.namespace
            print_results(console, rows)
            console.print()
            good = _print_verdict(console, rows)
            _print_next(console, cluster, namespace, rows)
        return 0 if good else 1
    except KeyboardInterrupt:
        # Everything has been cleaned up: who presses Ctrl-C again is not to change how this is said.
        for each in (signal.SIGINT, signal.SIGTERM):
            signal.signal(each, signal.SIG_IGN)
        console.print("Interrupted.")
        return _INTERRUPTED


@dataclass(frozen=True)
class _Cluster:
    """A cluster that runs; `stays` when it does so after the demo."""

    folder: StateFolder
    stays: bool


@contextmanager
def _cluster(console: Console, state: Path | None, *, keep: bool) -> Iterator[_Cluster]:
    """A running cluster: the one that runs from the folder already, which is left as it is, or a new one."""
    temporary = None
    if state is None and not keep:
        temporary = tempfile.mkdtemp(prefix="chaingraph-demo-")
    folder = StateFolder.at(Path(temporary) if temporary else state or DEFAULT_STATE)
    before = folder.load()
    if before is not None and supervised(before):
        console.print(f"Using the cluster that runs from {folder.path}.")
        yield _Cluster(folder, stays=True)
        return
    kept, delete = False, temporary is not None
    try:
        _start(console, folder)
        yield _Cluster(folder, stays=keep)
        kept = keep
    except CliError:
        delete = False  # the error speaks of logs that are in there
        raise
    finally:
        if not kept:
            with _undisturbed():
                _end(folder, delete=delete)


def _start(console: Console, folder: StateFolder) -> None:
    settings = ClusterSettings()
    up.programs_for(settings, console)
    folder.create()
    console.print(
        "Starting a cluster: etcd, kube-apiserver, PostgreSQL, operator and 2 workers, as local processes ..."
    )
    began = time.monotonic()
    detached.start(folder, settings)
    console.print(f"It is up after {time.monotonic() - began:.0f} s.")


def _end(folder: StateFolder, *, delete: bool) -> None:
    if folder.load() is not None:
        down.run(folder.path, delete=delete)
    elif delete:
        shutil.rmtree(folder.path, ignore_errors=True)


@contextmanager
def _undisturbed() -> Iterator[None]:
    """No interruption while processes are being ended: a second Ctrl-C would leave them behind."""
    before = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _interrupt(number: int, frame: FrameType | None) -> None:
    """SIGTERM is taken as Ctrl-C is, so that it cleans up as well."""
    raise KeyboardInterrupt


def _run_examples(console: Console, resources: Resources, found: Sequence[Example], source: Path) -> Sequence[DemoRow]:
    with examples.served(source / "data") as url:
        if url != examples.DATA_URL:
            console.print(f"Port {examples.DATA_PORT} is taken: the data of the examples is served from {url}.")
        console.print(f"Applying {len(found)} resources of {source} in the namespace {resources.namespace}.\n")
        for each in found:
            resources.apply(each.fetching_from(url).manifest)
        return _until_settled(console, resources, [each for each in found if each.expected is not None])


def _until_settled(console: Console, resources: Resources, running: Sequence[Example]) -> list[DemoRow]:
    """The executions once all have ended or wait as they should, or when the time is over."""
    deadline = time.monotonic() + _END_SECONDS
    with watching(console) as show:
        while True:
            # A list of a few objects, four times a second: a watch would tell more promptly, and need more care.
            current = resources.executions()
            rows = [DemoRow(each, current.get(each.name, {}).get("status") or {}) for each in running]
            show(rows)
            if all(row.settled for row in rows) or time.monotonic() > deadline:
                return rows
            time.sleep(_LOOK_SECONDS)


def _print_verdict(console: Console, rows: Sequence[DemoRow]) -> bool:
    wrong = [row for row in rows if not row.as_expected]
    if not wrong:
        console.print(f"[bold green]Every execution ({len(rows)}) came to what its example says.[/]", markup=True)
    for row in wrong:
        console.print(f"[bold red]{row.name} is {row.phase}, and should be {row.example.expected}.[/]", markup=True)
        console.print(f"  {row.message}")
    return not wrong


def _print_next(console: Console, cluster: _Cluster, namespace: str, rows: Sequence[DemoRow]) -> None:
    """What to type now: against the cluster when it stays, else to have one."""
    command = _command()
    kubectl = _kubectl()
    state = "" if cluster.folder.path == DEFAULT_STATE.resolve() else f" --state {cluster.folder.path}"
    if cluster.stays:
        lines = [
            "The cluster goes on running. To look at it:",
            "",
            f"  export KUBECONFIG={cluster.folder.kubeconfig}",
            f"  {kubectl} -n {namespace} get executions -o wide",
            *(f"  {kubectl} -n {namespace} {each}" for each in _looks(rows)),
            f"  {kubectl} explain execution.spec",
            "",
            f"End it: {command} down{state}",
        ]
    else:
        lines = [
            "To keep the cluster and look around in it:",
            "",
            f"  {command} demo --keep",
            "",
            "Or start with an empty one, and apply the examples yourself:",
            "",
            f"  {command} up --detach",
            f"  export KUBECONFIG={DEFAULT_STATE.resolve() / 'kubeconfig'}",
            f"  {kubectl} apply -f examples/07-failure.yaml",
            f"  {kubectl} describe execution failure",
            f"  {command} down",
            "",
        ]
    for line in lines:
        console.print(line)


def _looks(rows: Sequence[DemoRow]) -> list[str]:
    """What is worth a look among these executions: one that failed, and outputs."""
    failed = next((row.name for row in rows if row.phase is ExecutionPhase.FAILED), None)
    with_outputs = [row for row in rows if row.status.get("outputs")]
    looks = [f"describe execution {failed}"] if failed else []
    if with_outputs:
        most = max(with_outputs, key=lambda row: len(row.status["outputs"]))
        looks.append(f"get execution {most.name} -o jsonpath='{{.status.outputs}}'")
    return looks


def _command() -> str:
    """How this command is called from here."""
    if shutil.which("chaingraph"):
        return "chaingraph"
    program = Path(sys.argv[0]).resolve()
    return str(program.relative_to(Path.cwd())) if program.is_relative_to(Path.cwd()) else str(program)


def _kubectl() -> str:
    found = None if shutil.which("kubectl") else binaries.find("kubectl")
    return str(found) if found else "kubectl"
