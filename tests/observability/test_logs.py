"""Every line that a process writes is a JSON object, whoever in it has something to say, from its start to its end."""

from __future__ import annotations

import json
import logging
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from chaingraph_store.ids import execution_id
from chaingraph_worker import application
from chaingraph_worker.log_names import name_execution, remember
from fixtures.cluster.control_plane import ControlPlane
from fixtures.cluster.view import Cluster
from fixtures.ledger.database import PostgresServer
from fixtures.processes.forked import RunProgram
from fixtures.processes.gateway import Person, RunGateway
from fixtures.processes.programs import Process, RunOperator, RunWorker, run_to_end
from fixtures.waiting import eventually

LEVELS = {"debug", "info", "warning", "error", "critical"}


def objects(text: str) -> list[dict[str, Any]]:
    """The lines, each of which has to be an object with what every line has."""
    found = []
    for line in text.splitlines():
        assert line.startswith("{"), f"no JSON: {line}"
        found.append(json.loads(line))
        assert {"time", "level", "component", "logger", "message"} <= found[-1].keys(), line
        assert found[-1]["level"] in LEVELS, line
    return found


SPEAKERS = """
import asyncio, gc, logging, threading, warnings
from chaingraph_runtime import logs

logs.configure("info", component="speaker")
about = {"kind": "Flow", "namespace": "team", "name": "x"}
logging.getLogger("kopf.objects").warning("from %s", "kopf", extra={"k8s_ref": about})
logging.getLogger("asyncio").error("slow %d", 1)
warnings.warn("something is deprecated", DeprecationWarning, stacklevel=1)
warnings.warn("something else", RuntimeWarning, stacklevel=1)
thread = threading.Thread(target=lambda: 1 / 0, name="worker thread")
thread.start()
thread.join()

class Finalized:
    def __del__(self):
        raise ValueError("in a finalizer")

Finalized()

async def forgotten():
    raise KeyError("nobody asks")

async def main():
    task = asyncio.create_task(forgotten())
    await asyncio.sleep(0.01)
    del task
    gc.collect()

asyncio.run(main())
raise RuntimeError("nobody has caught this\\nof two lines")
"""


def test_logs_are_json_from_every_source() -> None:
    done = run_to_end("-W", "default", "-c", SPEAKERS)
    assert done.returncode == 1
    assert done.stdout == ""
    lines = objects(done.stderr)
    said = {line["logger"]: line for line in lines}
    of_kopf = said["kopf.objects"]
    assert of_kopf["message"] == "from kopf"
    assert (of_kopf["kind"], of_kopf["namespace"], of_kopf["name"]) == ("Flow", "team", "x")
    assert "k8s_ref" not in of_kopf
    assert "DeprecationWarning: something is deprecated" in "".join(
        line["message"] for line in lines if line["logger"] == "py.warnings"
    )
    exceptions = "".join(line.get("exception", "") for line in lines)
    for each in ("ZeroDivisionError", "ValueError: in a finalizer", "KeyError: 'nobody asks'", "of two lines"):
        assert each in exceptions
    assert lines[-1]["level"] == "critical"


@pytest.mark.parametrize(
    ("module", "environment", "error"),
    [
        ("worker", {"DATABASE_URL_EXECUTIONS": ""}, "DATABASE_URL_EXECUTIONS"),
        ("worker", {"DBOS_WORKER_CONCURRENCY": "500"}, "DBOS_WORKER_CONCURRENCY"),
        ("operator", {"CHAINGRAPH_RECONCILE_WORKERS": "0", "LOG_LEVEL": "loud"}, "CHAINGRAPH_RECONCILE_WORKERS"),
        ("operator", {"KUBECONFIG": "/nowhere"}, "/nowhere"),
        ("gateway", {}, "CHAINGRAPH_TLS_CERTIFICATE"),
        ("worker", {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://x", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, "http/protobuf"),
        ("operator", {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://x", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, "'grpc'"),
    ],
)
def test_startup_failure_is_logged_as_json(
    run_program: RunProgram, module: str, environment: dict[str, str], error: str
) -> None:
    settings = {"DATABASE_URL_EXECUTIONS": "postgresql://host/database", **environment}
    done = run_program(f"chaingraph_{module}.main", **settings)
    assert done.returncode in (1, 2), done.stderr
    assert done.stdout == ""
    lines = objects(done.stderr)
    assert {line["component"] for line in lines} == {module}
    assert lines[-1]["level"] == "critical"
    assert error in done.stderr
    assert "exception" not in lines[-1], "a wrong setting is no error of the code"


def test_dbos_log_lines_name_their_execution() -> None:
    execution = execution_id("0d5c2b8e-3f0e-4d0a-8a39-6f6f3b9f7a10")
    for workflow in (execution, f"{execution}-2", f"{execution}-hold"):
        record = logging.LogRecord("dbos", logging.WARNING, "", 0, "workflow %s is odd", (workflow,), None)
        assert name_execution(record)
        assert getattr(record, "execution_id", None) == execution
    record = logging.LogRecord("dbos", logging.WARNING, "", 0, "EXTRAORDINARY", None, None)
    assert name_execution(record)
    assert not hasattr(record, "execution_id")


def test_dbos_errors_of_an_ending_process_are_not_logged(monkeypatch: pytest.MonkeyPatch) -> None:
    ending = threading.Event()
    monkeypatch.setattr(application, "_ending", ending)
    pool = ThreadPoolExecutor()
    pool.shutdown()
    with pytest.raises(RuntimeError) as late:
        pool.submit(print)

    def is_logged(error: BaseException) -> bool:
        exc_info = (type(error), error, None)
        return application.is_news(logging.LogRecord("dbos", logging.ERROR, "", 0, "failed", None, exc_info))

    assert is_logged(late.value), "a process that goes on has lost its threads"
    ending.set()
    assert not is_logged(late.value)
    assert is_logged(RuntimeError("something else"))


def test_dbos_log_lines_name_the_object_of_a_known_execution() -> None:
    execution = execution_id("5e0d9c5a-95d1-4c5e-a6d3-2e1e7ba2d3c1")
    remember(execution, "shop", "nightly")
    record = logging.LogRecord("dbos", logging.WARNING, "", 0, "connection failed", None, None)
    record.operationUUID = f"{execution}-2"
    assert name_execution(record)
    assert getattr(record, "execution_id", None) == execution
    assert getattr(record, "k8s_ref", None) == {"kind": "Execution", "namespace": "shop", "name": "nightly"}


def test_unknown_arguments_are_logged_as_json(run_program: RunProgram) -> None:
    for module in ("worker", "operator"):
        [line] = objects(run_program(f"chaingraph_{module}.main", "--help-me").stderr)
        assert "unknown arguments" in line["message"]


@pytest.mark.integration
def test_migration_logs_json(run_program: RunProgram, empty_database_url: str) -> None:
    first = run_program("chaingraph_worker.main", "migrate", DATABASE_URL_EXECUTIONS=empty_database_url)
    again = run_program("chaingraph_worker.main", "migrate", DATABASE_URL_EXECUTIONS=empty_database_url)
    wrong = run_program("chaingraph_worker.main", "migrate", DATABASE_URL_EXECUTIONS="mysql://x")
    assert (first.returncode, again.returncode, wrong.returncode) == (0, 0, 1)
    assert "0001.schema" in objects(first.stdout + first.stderr)[-1]["applied"]
    assert objects(again.stdout + again.stderr)[-1]["applied"] == []
    assert objects(wrong.stdout + wrong.stderr)[-1]["level"] == "critical"


@pytest.mark.integration
async def test_process_logs_stay_json_after_postgresql_loss(
    cluster: Cluster,
    run_operator: RunOperator,
    run_worker: RunWorker,
    run_gateway: RunGateway,
    control_plane: ControlPlane,
    postgres_server: PostgresServer,
    database_url: str,
) -> None:
    operator, worker, gateway = (
        run_operator(LOG_LEVEL="debug"),
        run_worker().wait_ready(),
        run_gateway(LOG_LEVEL="debug"),
    )
    uids = {
        name: cluster.apply("Execution", name, {"flow": {"nodes": [{"id": "a", **node}]}})
        for name, node in (
            ("well", {"type": "Text"}),
            ("ill", {"type": "Fail", "inputs": {"message": "as it should"}}),
            ("never", {"type": "Text", "inputs": {"nothing": "of this name"}}),
        )
    }
    await cluster.condition("Execution", "well", "Succeeded", status="True")
    await cluster.condition("Execution", "ill", "Succeeded", status="False")
    await gateway.ask(f"/executions/{execution_id(uids['well'])}", Person(control_plane.token))
    postgres_server.end_connections(database_url)

    async def noticed() -> bool:
        return all("PostgreSQL" in each.log or "ledger" in each.log for each in (operator, worker, gateway))

    await eventually(noticed, within=30, what="lines about PostgreSQL")
    for process in (operator, gateway, worker):
        process.terminate()
        assert objects(process.log), process
    for process in (operator, worker):
        of_execution(process, execution_id(uids["well"]), namespace=cluster.namespace, name="well")
        of_execution(process, execution_id(uids["ill"]), namespace=cluster.namespace, name="ill")


def of_execution(process: Process, execution: str, *, namespace: str, name: str) -> None:
    """Lines that concern an execution say which, in fields of their own."""
    lines = [line for line in objects(process.log) if execution in json.dumps(line)]
    assert lines, process.log
    for line in lines:
        assert line.get("execution_id") == execution, line
        assert (line.get("namespace"), line.get("name")) == (namespace, name), line
