"""The process: its start, its settings, its certificates, and what it may not do."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from pathlib import Path

import psycopg
import pytest

from chaingraph_cli.cluster.access.certificates import Authority
from chaingraph_gateway.main import read_only
from fixtures.ledger.database import migrate
from fixtures.processes.forked import RunProgram
from fixtures.processes.gateway import People, RunGateway
from fixtures.waiting import eventually

pytestmark = pytest.mark.integration


async def test_gateway_waits_for_the_migration_and_says_so(run_gateway: RunGateway, empty_database_url: str) -> None:
    gateway = run_gateway(ready=False, DATABASE_URL_EXECUTIONS=empty_database_url)

    async def says_so() -> bool:
        return "Run `chaingraph-worker migrate`" in gateway.log

    await eventually(says_so, within=60, what="a hint")
    assert gateway.get("/readyz").status_code == 503
    migrate(empty_database_url)
    gateway.wait_ready()
    assert gateway.terminate() == 0


async def test_new_certificate_is_loaded_without_a_restart(
    run_gateway: RunGateway, people: People, tmp_path: Path
) -> None:
    certificate, key = tmp_path / "tls.crt", tmp_path / "tls.key"
    Authority("old").server("gateway", ["127.0.0.1"]).write(certificate, key)
    gateway = run_gateway(CHAINGRAPH_TLS_CERTIFICATE=str(certificate), CHAINGRAPH_TLS_KEY=str(key))
    new = Authority("new")
    new.server("gateway", ["127.0.0.1"]).write(certificate, key)
    gateway.ca = tmp_path / "new-ca.crt"
    gateway.ca.write_text(new.certificate, encoding="ascii")

    async def taken() -> bool:
        return "serving certificate reloaded" in gateway.log

    await eventually(taken, what="the new certificate")
    assert (await gateway.ask("/executions", people.admin)).status_code == 200
    assert (await gateway.ask("/executions", people.certified("jane"))).status_code == 403


def test_gateway_sessions_cannot_write(database_url: str) -> None:
    with psycopg.connect(read_only(database_url), autocommit=True) as connection:
        connection.execute("LISTEN chaingraph_changes")
        with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
            connection.execute("DELETE FROM chaingraph.executions")


@pytest.mark.parametrize(
    ("variable", "value", "hint"),
    [
        ("DATABASE_URL_EXECUTIONS", "mysql://host", "postgresql://user:password@host:5432/database"),
        ("CHAINGRAPH_TLS_CERTIFICATE", "/nowhere/tls.crt", "file not found"),
        ("CHAINGRAPH_HEARTBEAT_SECONDS", "0", "more than 0"),
        ("CHAINGRAPH_GATEWAY_PORT", "65536", "Port of the HTTPS server"),
        ("CHAINGRAPH_MAX_STREAMS", "none", "1 or more"),
        ("CHAINGRAPH_STREAM_SECONDS", "0.5", "1 or more"),
        ("CHAINGRAPH_STREAM_SECONDS", "inf", "1 or more"),
        ("LOG_LEVEL", "loud", "Log level: debug, info, warning or error"),
    ],
)
def test_invalid_setting_is_named_with_a_hint(
    run_program: RunProgram, gateway_certificate: Mapping[str, Path], variable: str, value: str, hint: str
) -> None:
    done = _start(run_program, gateway_certificate, **{variable: value})
    assert done.returncode == 2
    said = json.loads(done.stderr)["message"]
    assert said.startswith(variable)
    assert value in said
    assert hint in said


def test_a_key_of_another_certificate_is_refused(
    run_program: RunProgram, gateway_certificate: Mapping[str, Path], tmp_path: Path
) -> None:
    Authority("other").server("gateway", ["127.0.0.1"]).write(tmp_path / "crt", tmp_path / "key")
    done = _start(run_program, gateway_certificate, CHAINGRAPH_TLS_KEY=str(tmp_path / "key"))
    assert done.returncode == 1
    assert "Provide a certificate and its key" in done.stderr
    assert "Traceback" not in done.stderr


def _start(
    run_program: RunProgram, certificate: Mapping[str, Path], **environment: str
) -> subprocess.CompletedProcess[str]:
    settings = {
        "DATABASE_URL_EXECUTIONS": "postgresql://127.0.0.1:1/database",
        "CHAINGRAPH_TLS_CERTIFICATE": str(certificate["certificate"]),
        "CHAINGRAPH_TLS_KEY": str(certificate["key"]),
    }
    return run_program("chaingraph_gateway.main", **settings | environment)
