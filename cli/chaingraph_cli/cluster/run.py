"""Brings a cluster up, keeps it until told to stop, and takes it down: the supervisor's whole life.

`up` runs it in the foreground; `detached` runs it as a process of its own.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable, Coroutine
from pathlib import Path

from chaingraph_cli.cluster import ports, private
from chaingraph_cli.cluster.access import crds, existing, gateway, kubeconfig
from chaingraph_cli.cluster.access.gateway import GatewayFiles
from chaingraph_cli.cluster.identity import ProcessIdentity
from chaingraph_cli.cluster.programs import control_plane, parts, postgres
from chaingraph_cli.cluster.programs.probes import notes
from chaingraph_cli.cluster.spec import ProcessSpec, Report
from chaingraph_cli.cluster.state import (
    ClusterSettings,
    ClusterState,
    Identity,
    Phase,
    StateFolder,
    end_leftovers,
    record,
)
from chaingraph_cli.cluster.supervisor import Supervisor
from chaingraph_cli.errors import CliError

_ROTATE_BYTES = 10 * 1024 * 1024


async def run(
    folder: StateFolder,
    settings: ClusterSettings,
    binaries: dict[str, Path],
    *,
    on_report: Callable[[Report], None],
    on_ready: Callable[[ClusterState], None],
) -> None:
    """Run the cluster of a state folder until SIGINT, SIGTERM or SIGHUP; everything has ended when it returns.

    Args:
        folder: must exist.
        settings: what to run; remembered in the folder.
        binaries: the control plane's programs; not used against an existing cluster.
        on_report: called whenever a process changes.
        on_ready: called once, when all are healthy.

    Raises:
        AlreadyRunning: another supervisor has the folder.
        CliError: it did not come up; everything that was started has been ended.
    """
    os.umask(private.UMASK)
    with folder.locked():
        book = _Book(folder, settings)

        def changed(report: Report) -> None:
            book.note(report)
            on_report(report)

        supervisor = Supervisor(changed)
        stopping = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, stopping.set)
        try:
            await _until(stopping, _bring_up(folder, settings, binaries, supervisor, book))
            if not stopping.is_set():
                book.phase(Phase.RUNNING, book.state.message)
                on_ready(book.state)
                await stopping.wait()
            book.phase(Phase.STOPPING)
        except CliError as error:
            book.phase(Phase.FAILED, str(error))
            raise
        finally:
            await supervisor.stop_all()
            book.ended()


async def _bring_up(
    folder: StateFolder, settings: ClusterSettings, binaries: dict[str, Path], supervisor: Supervisor, book: _Book
) -> None:
    names = [parts.OPERATOR, *parts.worker_names(settings.workers)]
    own_ports = [*control_plane.PORTS, "postgres", *gateway.PORTS]
    assigned = ports.assign([*own_ports, *names], book.state.ports)
    book.remember_ports(assigned)
    if settings.own_control_plane:
        cluster = _start_control_plane(folder, binaries, assigned, supervisor)
    else:
        cluster = _use_existing(folder, settings)
    layout = None
    database_url = settings.database_url
    if database_url is None:
        layout = postgres.plan(folder.path, port=assigned["postgres"], logs=folder.logs)
        database_url = layout.url()
        if not layout.data.is_relative_to(folder.path):
            book.remember_outside(layout.data)
    ours = parts.Parts(database_url=database_url, kubeconfig=folder.kubeconfig, logs=folder.logs)
    files = GatewayFiles(folder.path / "gateway")
    await _all(cluster, _prepare_database(layout, ours, supervisor), asyncio.to_thread(files.make))
    specs = [ours.gateway(assigned[gateway.NAME], assigned[gateway.HEALTH], files)]
    specs += [ours.operator(assigned[parts.OPERATOR])]
    publish = asyncio.to_thread(gateway.publish, folder.kubeconfig, assigned[gateway.NAME], files)
    workers = [ours.worker(name, assigned[name]) for name in names[1:]]
    await _all(publish, _start_workers(workers, supervisor, book), *(supervisor.start(spec) for spec in specs))


async def _start_workers(specs: list[ProcessSpec], supervisor: Supervisor, book: _Book) -> None:
    """Start the workers. The cluster does without one that does not start, and the book says why."""
    failures = await asyncio.gather(*(supervisor.start_or_retry(spec) for spec in specs))
    lines = [f"{error.message}\n{error.hint} It is started again." for error in failures if error is not None]
    said: dict[str, list[str]] = {}
    for spec, error in zip(specs, failures, strict=True):
        for note in () if error is not None else await notes(spec.probe):
            said.setdefault(note, []).append(spec.name)
    lines += [f"{', '.join(names)} {note}" for note, names in said.items()]
    book.remember_message("\n".join(lines))


async def _start_control_plane(
    folder: StateFolder, binaries: dict[str, Path], assigned: dict[str, int], supervisor: Supervisor
) -> None:
    layout = control_plane.ControlPlaneLayout(
        folder=folder.path / "control-plane", logs=folder.logs, binaries=binaries, ports=assigned
    )
    await control_plane.start(layout, supervisor)
    kubeconfig.write_private(folder.kubeconfig, layout.kubeconfig.read_text(encoding="utf-8"))
    await asyncio.to_thread(crds.apply, folder.kubeconfig)


async def _use_existing(folder: StateFolder, settings: ClusterSettings) -> None:
    existing.copy_context(settings.kubeconfig, settings.context, to=folder.kubeconfig)
    await asyncio.to_thread(crds.apply, folder.kubeconfig)


async def _prepare_database(layout: postgres.PostgresLayout | None, ours: parts.Parts, supervisor: Supervisor) -> None:
    """Start PostgreSQL when it is ours to start (layout given), and migrate the database."""
    if layout is not None:
        await asyncio.to_thread(postgres.initialise, layout)
        await postgres.start(layout, supervisor)
        await postgres.create_database(layout)
    await ours.migrate()


async def _all(*work: Coroutine[object, object, object]) -> None:
    """Run all at once; the first error ends the others and is raised as itself, not in a group."""
    tasks = [asyncio.ensure_future(each) for each in work]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _until(stopping: asyncio.Event, work: Coroutine[object, object, None]) -> None:
    """Run the work, or give it up when asked to stop."""
    doing = asyncio.ensure_future(work)
    asked = asyncio.ensure_future(stopping.wait())
    await asyncio.wait({doing, asked}, return_when=asyncio.FIRST_COMPLETED)
    asked.cancel()
    if not doing.done():
        doing.cancel()
        await asyncio.gather(doing, return_exceptions=True)
    else:
        doing.result()


class _Book:
    """Keeps the state file in step with what happens."""

    def __init__(self, folder: StateFolder, settings: ClusterSettings) -> None:
        before = folder.load() or ClusterState()
        end_leftovers(before)
        _rotate_logs(folder.logs)
        self._folder = folder
        self.state = ClusterState(
            settings=settings,
            phase=Phase.STARTING,
            supervisor=Identity.of(ProcessIdentity.of(os.getpid())),
            ports=before.ports,
            outside=before.outside,
        )
        self._save()

    def note(self, report: Report) -> None:
        self.state = record(self.state, report)
        self._save()

    def phase(self, phase: Phase, message: str = "") -> None:
        self.state = self.state.model_copy(update={"phase": phase, "message": message})
        self._save()

    def remember_message(self, message: str) -> None:
        """What the person at the terminal should know of a cluster that has come up."""
        self.state = self.state.model_copy(update={"message": message})

    def remember_ports(self, assigned: dict[str, int]) -> None:
        self.state = self.state.model_copy(update={"ports": {**self.state.ports, **assigned}})
        self._save()

    def remember_outside(self, path: Path) -> None:
        outside = tuple(dict.fromkeys((*self.state.outside, path)))
        self.state = self.state.model_copy(update={"outside": outside})
        self._save()

    def ended(self) -> None:
        """Nothing runs any more; a failure stays on record."""
        update: dict[str, object] = {"supervisor": None}
        if self.state.phase != Phase.FAILED:
            update["phase"] = Phase.STOPPED
        self.state = self.state.model_copy(update=update)
        self._save()

    def _save(self) -> None:
        self._folder.save(self.state)


def _rotate_logs(logs: Path) -> None:
    """Keep one old generation of each log that has grown large; done while nothing writes to it."""
    for log in logs.glob("*.log"):
        if log.stat().st_size > _ROTATE_BYTES:
            log.replace(log.with_suffix(".log.1"))
