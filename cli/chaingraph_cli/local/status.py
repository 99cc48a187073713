"""`chaingraph status`: every process of the local cluster, asked for its health now."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from chaingraph_cli.cluster.programs.probes import check, notes
from chaingraph_cli.cluster.spec import ProcessCondition
from chaingraph_cli.cluster.state import ClusterState, Phase, ProcessRecord, StateFolder, age, supervised
from chaingraph_cli.errors import NotRunning
from chaingraph_cli.terminal.escapes import one_line
from chaingraph_cli.terminal.output import OutputFormat, console, dump


@dataclass(frozen=True)
class ProcessHealth:
    """A process and why it is not healthy; an empty reason means that it is."""

    record: ProcessRecord
    reason: str

    @property
    def healthy(self) -> bool:
        return not self.reason


def run(state: Path, output: OutputFormat) -> bool:
    """Print the status; whether everything is healthy.

    Raises:
        NotRunning: the folder has no cluster.
    """
    folder = StateFolder.at(state)
    remembered = folder.load()
    if remembered is None:
        raise NotRunning(f"There is no cluster in {folder.path}.", "Start one: chaingraph up")
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
    """Probe every process on record at once."""

    async def one(record: ProcessRecord) -> ProcessHealth:
        return ProcessHealth(record, fate(record) or await check(record.probe) or "")

    return list(await asyncio.gather(*(one(record) for record in state.processes)))


async def _notes(health: list[ProcessHealth]) -> list[str]:
    """What healthy processes do without."""
    found = await asyncio.gather(*(notes(each.record.probe) for each in health if each.healthy))
    names = [each.record.name for each in health if each.healthy]
    return [f"{name} {note}" for name, lines in zip(names, found, strict=True) for note in lines]


def fate(record: ProcessRecord) -> str:
    """What the record alone says against a process's health; empty when it has to be asked."""
    if record.condition == ProcessCondition.BACKING_OFF:
        return f"{record.last_exit}; starts again soon"
    if record.condition == ProcessCondition.STOPPED:
        return record.last_exit or "stopped"
    if record.identity is None or not record.identity.process().alive():
        return "ended"
    return "starting" if record.condition == ProcessCondition.STARTING else ""


def _print_table(out: Console, folder: StateFolder, phase: str, message: str, health: list[ProcessHealth]) -> None:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("NAME", "PID", "PORT", "STATE", "SINCE", "RESTARTS"):
        table.add_column(column, justify="left" if column in ("NAME", "STATE") else "right", overflow="fold")
    for each in health:
        record = each.record
        table.add_row(
            record.name,
            str(record.identity.pid) if record.identity else "-",
            str(record.port),
            Text("healthy", "green") if each.healthy else Text(one_line(each.reason), "red"),
            age(record.since),
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
                "name": each.record.name,
                "pid": each.record.identity.pid if each.record.identity else None,
                "port": each.record.port,
                "condition": str(each.record.condition),
                "healthy": each.healthy,
                "reason": each.reason,
                "since": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(each.record.since)),
                "restarts": each.record.restarts,
                "log": str(each.record.log),
            }
            for each in health
        ],
    }
