"""`chaingraph demo`: runs the examples on a temporary cluster and prints their results."""

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
from chaingraph_cli.cluster.state import ClusterSettings, StateFolder, supervised
from chaingraph_cli.errors import CliError
from chaingraph_cli.local import down, examples, up
from chaingraph_cli.local.demo_view import DemoRow, print_results, watching
from chaingraph_cli.local.examples import Example
from chaingraph_cli.local.resources import Resources, new_namespace
from chaingraph_cli.terminal.output import console as make_console
from chaingraph_cli.upstream import binaries
from chaingraph_crds.execution import ExecutionPhase

NAMESPACE: Final = "demo"
DEFAULT_STATE: Final = Path(".chaingraph")
_END_SECONDS: Final = 180.0
_LOOK_SECONDS: Final = 0.5
_INTERRUPTED: Final = 130
"""The exit code of shells for a process that SIGINT has ended."""


def run(state: Path | None, folder: Path | None, *, keep: bool) -> int:
    """Run the command; returns its exit code: 0 only if each execution ended as its example says.

    Args:
        state: the state folder; None for `.chaingraph` with `keep`, else for a temporary one.
        folder: the folder of the examples; None for that of the checkout.
        keep: leave the cluster running. An interrupted demo is not kept.

    Raises:
        CliError: the cluster did not start, or there are no examples.
    """
    console = make_console()
    source = examples.find(folder)
    found = examples.load(source)
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        with _cluster(console, state, keep=keep) as cluster:
            resources = new_namespace(cluster.folder.kubeconfig, NAMESPACE)
            rows = _run_examples(console, resources, found, source)
            print_results(console, rows)
            console.print()
            good = _print_verdict(console, rows)
            _print_next(console, cluster, resources.namespace, rows)
        return 0 if good else 1
    except KeyboardInterrupt:
        # All is cleaned up: another Ctrl-C must not disturb the message.
        for each in (signal.SIGINT, signal.SIGTERM):
            signal.signal(each, signal.SIG_IGN)
        console.print("Interrupted.")
        return _INTERRUPTED


@dataclass(frozen=True)
class _Cluster:
    """A running cluster; `stays` if it keeps running after the demo."""

    folder: StateFolder
    stays: bool


@contextmanager
def _cluster(console: Console, state: Path | None, *, keep: bool) -> Iterator[_Cluster]:
    """Use the cluster that already runs from the folder, or start one for the block."""
    temporary = None
    if state is None and not keep:
        temporary = tempfile.mkdtemp(prefix="chaingraph-demo-")
    folder = StateFolder.at(Path(temporary) if temporary else state or DEFAULT_STATE)
    before = folder.load()
    if before is not None and supervised(before):
        console.print(f"Using the running cluster of {folder.path}.")
        yield _Cluster(folder, stays=True)
        return
    kept, delete = False, temporary is not None
    try:
        _start(console, folder)
        yield _Cluster(folder, stays=keep)
        kept = keep
    except CliError:
        delete = False  # the error names logs in there
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
        "Starting a cluster: etcd, kube-apiserver, PostgreSQL, operator, gateway and 2 workers, as local processes ..."
    )
    began = time.monotonic()
    detached.start(folder, settings)
    console.print(f"The cluster is up after {time.monotonic() - began:.0f} s.")


def _end(folder: StateFolder, *, delete: bool) -> None:
    if folder.load() is not None:
        down.run(folder.path, delete=delete)
    elif delete:
        shutil.rmtree(folder.path, ignore_errors=True)


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Ignore signals for the block: a second Ctrl-C would leave processes behind."""
    before = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _interrupt(number: int, frame: FrameType | None) -> None:
    """Handle SIGTERM like Ctrl-C, so that it cleans up."""
    raise KeyboardInterrupt


def _run_examples(console: Console, resources: Resources, found: Sequence[Example], source: Path) -> Sequence[DemoRow]:
    with examples.served(source / "data") as url:
        if url != examples.DATA_URL:
            console.print(f"Port {examples.DATA_PORT} is in use: the data of the examples is served at {url}.")
        console.print(f"Applying {len(found)} resources of {source} in namespace {resources.namespace}.\n")
        for each in found:
            resources.apply(each.fetching_from(url).manifest)
        return _until_settled(console, resources, [each for each in found if each.expected is not None])


def _until_settled(console: Console, resources: Resources, running: Sequence[Example]) -> list[DemoRow]:
    """Wait until all executions have ended or pause as expected, or the time is over."""
    deadline = time.monotonic() + _END_SECONDS
    with watching(console) as show:
        while True:
            current = resources.executions()
            rows = [DemoRow(each, current.get(each.name, {}).get("status") or {}) for each in running]
            show(rows)
            if all(row.settled for row in rows) or time.monotonic() > deadline:
                return rows
            time.sleep(_LOOK_SECONDS)


def _print_verdict(console: Console, rows: Sequence[DemoRow]) -> bool:
    wrong = [row for row in rows if not row.as_expected]
    if not wrong:
        console.print(f"[bold green]All {len(rows)} executions are as expected.[/]", markup=True)
    for row in wrong:
        console.print(f"[bold red]{row.name} is {row.phase}, expected {row.example.expected}.[/]", markup=True)
        console.print(f"  {row.message}")
    return not wrong


def _print_next(console: Console, cluster: _Cluster, namespace: str, rows: Sequence[DemoRow]) -> None:
    """Print the next commands: for the cluster if it stays, else to start one."""
    command = _command()
    kubectl = _kubectl()
    state = "" if cluster.folder.path == DEFAULT_STATE.resolve() else f" --state {cluster.folder.path}"
    if cluster.stays:
        lines = [
            "The cluster is still running. To inspect it:",
            "",
            f"  export KUBECONFIG={cluster.folder.kubeconfig}",
            f"  {kubectl} -n {namespace} get executions -o wide",
            *(f"  {kubectl} -n {namespace} {each}" for each in _looks(rows)),
            f"  {kubectl} explain execution.spec",
            "",
            f"Stop it: {command} down{state}",
        ]
    else:
        lines = [
            "To keep the cluster and inspect it:",
            "",
            f"  {command} demo --keep",
            "",
            "Or start an empty one, and apply the examples yourself:",
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
    """Return kubectl arguments for a failed execution and for outputs."""
    failed = next((row.name for row in rows if row.phase is ExecutionPhase.FAILED), None)
    with_outputs = [row for row in rows if row.status.get("outputs")]
    looks = [f"describe execution {failed}"] if failed else []
    if with_outputs:
        most = max(with_outputs, key=lambda row: len(row.status["outputs"]))
        looks.append(f"get execution {most.name} -o jsonpath='{{.status.outputs}}'")
    return looks


def _command() -> str:
    """Return this command as it can be called from here."""
    if shutil.which("chaingraph"):
        return "chaingraph"
    program = Path(sys.argv[0]).resolve()
    return str(program.relative_to(Path.cwd())) if program.is_relative_to(Path.cwd()) else str(program)


def _kubectl() -> str:
    found = None if shutil.which("kubectl") else binaries.find("kubectl")
    return str(found) if found else "kubectl"
