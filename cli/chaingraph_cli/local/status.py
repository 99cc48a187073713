"""`chaingraph status`: shows the health of the processes of the local cluster."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from chaingraph_cli.cluster.programs.probes import check, notes
from chaingraph_cli.cluster.spec import ProcessCondition, Report
from chaingraph_cli.cluster.state import ClusterState, Phase, StateFolder, supervised
from chaingraph_cli.errors import NotRunning
from chaingraph_cli.terminal import tables
from chaingraph_cli.terminal.escapes import one_line
from chaingraph_cli.terminal.output import OutputFormat, console, dump


@dataclass(frozen=True)
class ProcessHealth:
    """A process, and the reason that it is not healthy; empty if it is."""

    record: Report
    reason: str

    @property
    def healthy(self) -> bool:
        return not self.reason


def run(state: Path, output: OutputFormat) -> bool:
    """Print the status and return whether all processes are healthy.

    Raises:
        NotRunning: the folder has no cluster.
    """
    folder = StateFolder.at(state)
    remembered = folder.load()
    if remembered is None:
        raise NotRunning(f"No cluster in {folder.path}.", "Start one: chaingraph up")
    health = asyncio.run(ask(remembered))
    alive = supervised(remembered)
    phase = remembered.phase if alive or remembered.phase in (Phase.STOPPED, Phase.FAILED) else "Crashed"
    healthy = alive and remembered.phase == Phase.RUNNING and all(each.healthy for each in health)
    if output is OutputFormat.TABLE:
        message = remembered.message if phase == Phase.FAILED else ""
        _print_table(console(), folder, phase, message, health)
        for note in asyncio.run(_notes(health)):
            console().print(one_line(note))
    else:
        print(dump(_content(folder, phase, remembered, health, healthy=healthy), output))
    return healthy


async def ask(state: ClusterState) -> list[ProcessHealth]:
    """Probe all recorded processes at once."""

    async def one(record: Report) -> ProcessHealth:
        return ProcessHealth(record, fate(record) or await check(record.spec.probe) or "")

    return list(await asyncio.gather(*(one(record) for record in state.processes)))


async def _notes(health: list[ProcessHealth]) -> list[str]:
    """Return the warnings of healthy processes."""
    found = await asyncio.gather(*(notes(each.record.spec.probe) for each in health if each.healthy))
    names = [each.record.spec.name for each in health if each.healthy]
    return [f"{name} {note}" for name, lines in zip(names, found, strict=True) for note in lines]


def fate(record: Report) -> str:
    """Return the reason in the record that a process is not healthy; empty if it must be probed."""
    if record.condition == ProcessCondition.BACKING_OFF:
        return f"{record.last_exit}; restarting"
    if record.condition == ProcessCondition.STOPPED:
        return record.last_exit or "stopped"
    if record.identity is None or not record.identity.alive():
        return "exited"
    return "starting" if record.condition == ProcessCondition.STARTING else ""


def _age(record: Report) -> str:
    seconds = int(time.time() - record.since)
    return f"{seconds}s" if seconds < 10 else tables.span(timedelta(seconds=seconds))


def _print_table(out: Console, folder: StateFolder, phase: str, message: str, health: list[ProcessHealth]) -> None:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("NAME", "PID", "PORT", "STATE", "SINCE", "RESTARTS"):
        table.add_column(column, justify="left" if column in ("NAME", "STATE") else "right", overflow="fold")
    for each in health:
        record = each.record
        table.add_row(
            record.spec.name,
            str(record.identity.pid) if record.identity else "-",
            str(record.spec.port),
            Text("healthy", "green") if each.healthy else Text(one_line(each.reason), "red"),
            _age(record),
            str(record.restarts),
        )
    out.print(f"Cluster of {folder.path}: {phase}")
    if message:
        out.print(message)
    if health:
        out.print(table)


def _content(
    folder: StateFolder, phase: str, state: ClusterState, health: list[ProcessHealth], *, healthy: bool
) -> dict[str, Any]:
    return {
        "state": str(folder.path),
        "phase": str(phase),
        "message": state.message,
        "healthy": healthy,
        "kubeconfig": str(folder.kubeconfig),
        "supervisorPid": state.supervisor.pid if state.supervisor else None,
        "processes": [
            {
                "name": each.record.spec.name,
                "pid": each.record.identity.pid if each.record.identity else None,
                "port": each.record.spec.port,
                "condition": str(each.record.condition),
                "healthy": each.healthy,
                "reason": each.reason,
                "since": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(each.record.since)),
                "restarts": each.record.restarts,
                "log": str(each.record.spec.log),
            }
            for each in health
        ],
    }
