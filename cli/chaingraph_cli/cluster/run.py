"""The life of the supervisor: starts a cluster, keeps it running, and stops it.

`up` runs it in the foreground; `detached` runs it as a process of its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Callable, Coroutine
from pathlib import Path

from chaingraph_cli.cluster import ports, private
from chaingraph_cli.cluster.access import crds, existing, gateway
from chaingraph_cli.cluster.access.gateway import GatewayFiles
from chaingraph_cli.cluster.identity import ProcessIdentity
from chaingraph_cli.cluster.programs import control_plane, postgres
from chaingraph_cli.cluster.programs.components import OPERATOR, Components, worker_names
from chaingraph_cli.cluster.programs.probes import notes
from chaingraph_cli.cluster.spec import ProcessSpec, Report
from chaingraph_cli.cluster.state import ClusterSettings, ClusterState, Phase, StateFolder, end_leftovers, record
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
    """Run the cluster of a state folder until SIGINT, SIGTERM or SIGHUP; all processes have stopped when it returns.

    Args:
        folder: must exist.
        settings: what to run; saved in the folder.
        binaries: the programs of the control plane; not used with an existing cluster.
        on_report: called whenever a process changes.
        on_ready: called once, when all are healthy.

    Raises:
        AlreadyRunning: another supervisor has the folder.
        CliError: the cluster did not start; all its processes have stopped.
    """
    os.umask(private.UMASK)
    with folder.locked():
        recorder = _Recorder(folder, settings)

        def changed(report: Report) -> None:
            recorder.note(report)
            on_report(report)

        supervisor = Supervisor(changed)
        starting = asyncio.ensure_future(_start(folder, settings, binaries, supervisor, recorder))
        stopping = asyncio.Event()

        def stop() -> None:
            stopping.set()
            starting.cancel()

        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            asyncio.get_running_loop().add_signal_handler(number, stop)
        try:
            with contextlib.suppress(asyncio.CancelledError):
                await starting
            if not stopping.is_set():
                recorder.update(phase=Phase.RUNNING)
                on_ready(recorder.state)
                await stopping.wait()
            recorder.update(phase=Phase.STOPPING, message="")
        except CliError as error:
            recorder.update(phase=Phase.FAILED, message=str(error))
            raise
        finally:
            await supervisor.stop_all()
            recorder.ended()


async def _start(
    folder: StateFolder,
    settings: ClusterSettings,
    binaries: dict[str, Path],
    supervisor: Supervisor,
    recorder: _Recorder,
) -> None:
    names = [OPERATOR, *worker_names(settings.workers)]
    own_ports = [*control_plane.PORTS, "postgres", *gateway.PORTS]
    assigned = ports.assign([*own_ports, *names], recorder.state.ports)
    recorder.update(ports={**recorder.state.ports, **assigned})
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
            recorder.update(outside=tuple(dict.fromkeys((*recorder.state.outside, layout.data))))
    own = Components(
        database_url=database_url,
        kubeconfig=folder.kubeconfig,
        logs=folder.logs,
        # In a cluster of others, flows get no Secrets by the rights of whoever starts this.
        secret_namespaces="*" if settings.own_control_plane else "",
    )
    files = GatewayFiles(folder.path / "gateway")
    await _all(cluster, _prepare_database(layout, own, supervisor), asyncio.to_thread(files.make))
    specs = [own.gateway(assigned[gateway.NAME], assigned[gateway.HEALTH], files)]
    specs += [own.operator(assigned[OPERATOR])]
    publish = asyncio.to_thread(gateway.publish, folder.kubeconfig, assigned[gateway.NAME], files)
    workers = [own.worker(name, assigned[name]) for name in names[1:]]
    await _all(publish, _start_workers(workers, supervisor, recorder), *(supervisor.start(spec) for spec in specs))


async def _start_workers(specs: list[ProcessSpec], supervisor: Supervisor, recorder: _Recorder) -> None:
    """Start the workers. The message of the state names those that failed; they are retried."""
    failures = await asyncio.gather(*(supervisor.start_or_retry(spec) for spec in specs))
    lines = [f"{error.message}\n{error.hint} It is restarted." for error in failures if error is not None]
    found: dict[str, list[str]] = {}
    for spec, error in zip(specs, failures, strict=True):
        for note in () if error is not None else await notes(spec.probe):
            found.setdefault(note, []).append(spec.name)
    lines += [f"{', '.join(names)} {note}" for note, names in found.items()]
    recorder.update(message="\n".join(lines))


async def _start_control_plane(
    folder: StateFolder, binaries: dict[str, Path], assigned: dict[str, int], supervisor: Supervisor
) -> None:
    layout = control_plane.ControlPlaneLayout(
        folder=folder.path / "control-plane", logs=folder.logs, binaries=binaries, ports=assigned
    )
    await control_plane.start(layout, supervisor)
    private.write(folder.kubeconfig, layout.kubeconfig.read_text(encoding="utf-8"))
    await asyncio.to_thread(crds.apply, folder.kubeconfig)


async def _use_existing(folder: StateFolder, settings: ClusterSettings) -> None:
    await asyncio.to_thread(existing.copy_context, settings.kubeconfig, settings.context, to=folder.kubeconfig)
    await asyncio.to_thread(crds.apply, folder.kubeconfig)


async def _prepare_database(layout: postgres.PostgresLayout | None, own: Components, supervisor: Supervisor) -> None:
    """Start our own PostgreSQL, if there is a layout, and migrate the database."""
    if layout is not None:
        await asyncio.to_thread(postgres.initialise, layout)
        await postgres.start(layout, supervisor)
        await postgres.create_database(layout)
    await own.migrate()


async def _all(*work: Coroutine[object, object, object]) -> None:
    """Run all at once. The first error cancels the others and is raised as it is; a TaskGroup would wrap it."""
    tasks = [asyncio.ensure_future(each) for each in work]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class _Recorder:
    """Keeps the state file up to date."""

    def __init__(self, folder: StateFolder, settings: ClusterSettings) -> None:
        before = folder.load() or ClusterState()
        end_leftovers(before)
        _rotate_logs(folder.logs)
        self._folder = folder
        self.state = ClusterState(ports=before.ports, outside=before.outside)
        self.update(settings=settings, phase=Phase.STARTING, supervisor=ProcessIdentity.of(os.getpid()))

    def update(self, **fields: object) -> None:
        self._save(self.state.model_copy(update=fields))

    def note(self, report: Report) -> None:
        self._save(record(self.state, report))

    def ended(self) -> None:
        """Record that nothing runs; a failure stays on record."""
        phase = Phase.FAILED if self.state.phase == Phase.FAILED else Phase.STOPPED
        self.update(supervisor=None, phase=phase)

    def _save(self, state: ClusterState) -> None:
        self.state = state
        self._folder.save(state)


def _rotate_logs(logs: Path) -> None:
    """Keep one old generation of each large log; nothing writes to it now."""
    for log in logs.glob("*.log"):
        if log.stat().st_size > _ROTATE_BYTES:
            log.replace(log.with_suffix(".log.1"))
