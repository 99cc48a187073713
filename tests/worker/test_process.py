"""The process: settings, health, metrics, exit codes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from pydantic import ValidationError

import chaingraph_flow
from chaingraph_runtime.settings import explain, without_passwords
from chaingraph_worker.settings import WorkerSettings
from fixtures.flows.plugins import install
from fixtures.ledger.database import migrate
from fixtures.processes.forked import RunProgram
from fixtures.processes.programs import RunWorker

URL = "postgresql://somebody@127.0.0.1:1/none"


def settings(**environment: str) -> WorkerSettings:
    return WorkerSettings.model_validate({"DATABASE_URL_EXECUTIONS": URL, **environment})


def refused(**environment: str) -> str:
    with pytest.raises(ValidationError) as error:
        settings(**environment)
    return explain(error.value, WorkerSettings)


def test_defaults_are_those_of_the_reference() -> None:
    made = settings()
    assert (made.queue_concurrency, made.worker_concurrency) == (100, 5)
    assert made.application_name == "chaingraph-executor"
    assert made.queue_names == ("chaingraph-executions",)


def test_two_processes_never_share_an_executor_id() -> None:
    assert settings().executor_id != settings().executor_id
    pod = {"CHAINGRAPH_EXECUTOR_ID": "0b1c-pod-uid-0001"}
    assert settings(**pod).executor_id != settings(**pod).executor_id, "a restarted container is another process"


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ({"DBOS_WORKER_CONCURRENCY": "0"}, "DBOS_WORKER_CONCURRENCY is '0'"),
        ({"DBOS_WORKER_CONCURRENCY": "many"}, "DBOS_WORKER_CONCURRENCY is 'many'"),
        ({"DBOS_WORKER_CONCURRENCY": "7", "DBOS_QUEUE_CONCURRENCY": "5"}, "above DBOS_QUEUE_CONCURRENCY (5)"),
        ({"CHAINGRAPH_QUEUES": " , "}, "CHAINGRAPH_QUEUES is ' , '"),
        ({"CHAINGRAPH_QUEUES": "slow@default/1"}, "CHAINGRAPH_QUEUES is 'slow@default/1'"),
        ({"CHAINGRAPH_QUEUES": "fast,chaingraph-held"}, "chaingraph-held is reserved"),
        ({"CHAINGRAPH_QUEUES": "_dbos_internal_queue"}, "_dbos_internal_queue is reserved"),
        ({"CHAINGRAPH_POOL": "GPU"}, "CHAINGRAPH_POOL is 'GPU'"),
        ({"CHAINGRAPH_WORKER_VERSION": "1@2"}, "CHAINGRAPH_WORKER_VERSION is '1@2'"),
        ({"LOG_LEVEL": "loud"}, "LOG_LEVEL is 'loud'"),
        ({"CHAINGRAPH_LEASE_SECONDS": "0.1"}, "CHAINGRAPH_LEASE_SECONDS is '0.1'"),
    ],
)
def test_a_wrong_setting_names_its_variable_and_its_value(environment: dict[str, str], said: str) -> None:
    assert said in refused(**environment)


@pytest.mark.parametrize("url", [URL.replace("somebody", "somebody:s3c@ret"), "host=h password='s3c@ret' user=me"])
@pytest.mark.parametrize("wrong", [{"DBOS_WORKER_CONCURRENCY": "700"}, {"CHAINGRAPH_LEASE_SECONDS": "0"}])
def test_settings_error_omits_the_password(url: str, wrong: dict[str, str]) -> None:
    said = refused(DATABASE_URL_EXECUTIONS=url, **wrong)
    assert "s3c" not in said
    assert "ret" not in said.replace("CHAINGRAPH", "")
    assert said.startswith(next(iter(wrong)))


@pytest.mark.parametrize(
    "text",
    [
        "X is 'mysql://me:s3c@ret@host/db': no",
        "X is \"host=h password='s3c@ret' user=me\": no",
        "X is 'host=h password=s3c@ret user=me': no",
    ],
)
def test_a_connection_string_is_shown_without_its_password(text: str) -> None:
    assert "s3c" not in without_passwords(text)
    assert "ret" not in without_passwords(text)
    assert without_passwords(text).startswith("X is ")
    hint = "write it as postgresql://user:password@host:5432/name"
    assert without_passwords(hint) == hint


def test_missing_database_error_names_the_variable(run_program: RunProgram, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DATABASE_URL_EXECUTIONS", raising=False)
    done = run_program("chaingraph_worker.main")
    assert done.returncode == 2
    assert json.loads(done.stderr)["message"].startswith("DATABASE_URL_EXECUTIONS is not set")
    assert "postgresql://user:password@host:5432/name" in done.stderr


def test_a_connection_string_of_another_database_is_refused(run_program: RunProgram) -> None:
    done = run_program("chaingraph_worker.main", DATABASE_URL_EXECUTIONS="mysql://host/db")
    assert done.returncode == 2
    assert "not a PostgreSQL connection string" in done.stderr


def test_unknown_arguments_are_refused(run_program: RunProgram) -> None:
    done = run_program("chaingraph_worker.main", "migrat", DATABASE_URL_EXECUTIONS=URL)
    assert done.returncode == 2
    assert "`migrate`" in done.stderr


@pytest.mark.integration
def test_worker_waits_for_migration_and_reports_it(empty_database_url: str, run_worker: RunWorker) -> None:
    worker = run_worker(DATABASE_URL_EXECUTIONS=empty_database_url)
    answer = worker.get("/readyz")
    for _ in range(100):
        if "migrate" in answer.text:
            break
        answer = worker.get("/readyz")
    assert answer.status_code == 503
    assert "chaingraph-worker migrate" in answer.text
    assert worker.get("/healthz").status_code == 200
    migrate(empty_database_url)
    worker.wait_ready()


def test_flow_limits_of_the_settings_are_those_of_the_engine() -> None:
    assert chaingraph_flow.Limits(**settings().value_limits) == chaingraph_flow.Limits()
    assert settings(CHAINGRAPH_MAX_VALUE_BYTES="4096").value_limits["value_bytes"] == 4096


@pytest.mark.parametrize("variable", ["CHAINGRAPH_EGRESS_ALLOW", "CHAINGRAPH_EGRESS_DENY"])
def test_malformed_egress_network_is_refused_at_the_start(variable: str) -> None:
    assert "'10.0.0.0/99' is not a network" in refused(**{variable: "10.0.0.0/8, 10.0.0.0/99"})


@pytest.mark.integration
def test_a_worker_with_a_broken_package_says_so_and_may_run_without_it(run_worker: RunWorker, tmp_path: Path) -> None:
    nodes = tmp_path / "nodes"
    install(nodes, "fine_one")
    install(nodes, "broken_one", "import json\nimport not_there\n")
    said = (
        f"cannot load entry point 'broken_one = broken_one' of broken_one 1.0: {nodes}/broken_one.py, line 2: "
        "it imports the module 'not_there', which is not installed"
    )
    refused = run_worker(PYTHONPATH=str(nodes))
    without = run_worker(PYTHONPATH=str(nodes), CHAINGRAPH_SERVE_WITHOUT_BROKEN_NODES="true")
    assert refused.process.wait(60) == 2
    assert refused.lines()[-1] | {"message": "cannot start", "reason": said} == refused.lines()[-1]
    without.wait_ready()
    assert without.get("/readyz").text == f"ok\nrunning without some nodes: {said}\n"
    for worker in (refused, without):
        [line] = [each for each in worker.lines() if each["message"] == said]
        assert line["exception"].startswith("Traceback (most recent call last):")
        assert "import not_there" in line["exception"]
    [ready] = [each for each in without.lines() if each["message"] == "ready"]
    assert ready["node_types"] == len(chaingraph_flow.Registry.discover().catalogue) + 1
