"""The database is backed up while executions run, lost, and restored from that backup: what was in it goes on, what
came after it is not run a second time."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from psycopg import sql

from fixtures.cluster.user import User, chain, execution
from fixtures.ledger.database import PostgresServer
from fixtures.processes.programs import RunOperator, RunWorker

pytestmark = [pytest.mark.integration, pytest.mark.crash]


class Backups:
    """pg_dump and pg_restore of the test's database."""

    def __init__(self, server: PostgresServer, url: str, folder: Path) -> None:
        self._server = server
        self._url = url
        self._name = urlsplit(url).path.removeprefix("/")
        self._file = folder / "backup"

    def take(self) -> None:
        self._run("pg_dump", "--format=custom", f"--file={self._file}", self._url)

    def restore(self) -> None:
        name = sql.Identifier(self._name)
        self._server.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(name))
        self._server.execute(sql.SQL("CREATE DATABASE {} TEMPLATE template0").format(name))
        self._run("pg_restore", "--exit-on-error", f"--dbname={self._url}", str(self._file))

    def _run(self, program: str, *arguments: str) -> None:
        command = [str(self._server.layout.programs / program), *arguments]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0, done.stderr


@pytest.fixture
def backups(postgres_server: PostgresServer, database_url: str, tmp_path: Path) -> Backups:
    return Backups(postgres_server, database_url, tmp_path)


def _reason(status: dict[str, Any], type_: str) -> str:
    return next((str(each["reason"]) for each in status.get("conditions", ()) if each["type"] == type_), "")


async def test_restored_database_resumes_from_the_backup(
    user: User, backups: Backups, run_operator: RunOperator, run_worker: RunWorker
) -> None:
    worker = run_worker().wait_ready()
    operator = run_operator()
    user.apply(
        execution("done", flow=chain(1, 10)),
        execution("paused", flow=chain(2, 300), paused=True),
        execution("long", flow={"nodes": [*chain(2, 300)["nodes"], *_last()], "edges": _edges()}),
    )
    user.wait("done")
    user.until("long", lambda status: status.get("nodes", {}).get("completed") == 2)
    user.until("paused", lambda status: status.get("phase") == "Created")
    backups.take()
    user.apply(execution("done-since", flow=chain(1, 10)), execution("begun-since", flow=chain(1, 60_000)))
    user.wait("done-since")
    user.until("begun-since", lambda status: status.get("phase") == "Running")
    ended = {name: user.status(name)["completionTime"] for name in ("done", "done-since")}
    worker.kill()
    operator.kill()
    backups.restore()

    second = run_worker()
    run_operator()
    user.wait("long", within=90)
    resumed = next(line for line in second.lines() if line.get("message") == "running")
    assert resumed["journaled"] == 2, "what had ended before the backup is not run again"
    lost = user.until("begun-since", lambda status: _reason(status, "Stalled") == "NotInLedger")
    assert lost["phase"] == "Pending", "The execution is not run again automatically"
    assert {name: user.status(name)["completionTime"] for name in ended} == ended
    user.kubectl("patch", "cgx/paused", "--type=merge", "-p", '{"spec": {"paused": false}}')
    user.wait("paused")


def _last() -> list[dict[str, Any]]:
    return [{"id": "last", "type": "work.Work", "inputs": {"milliseconds": 8000}}]


def _edges() -> list[dict[str, str]]:
    return [*chain(2, 300)["edges"], {"from": "s1.__success", "to": "last.__execute"}]
