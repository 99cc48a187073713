"""The value of a Secret is found nowhere but in the Secret, whatever becomes of the executions that use it."""

from __future__ import annotations

import base64
import json
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from chaingraph_cli.local import examples
from fixtures.cluster.control_plane import ControlPlane
from fixtures.cluster.leaks import in_logs, in_objects, in_tables, traces_of
from fixtures.cluster.service_account import kubeconfig_of_service_account
from fixtures.cluster.view import Cluster
from fixtures.flows import plugins
from fixtures.flows.http_server import RawServer, answer, raw_server
from fixtures.paths import ROOT
from fixtures.processes.gateway import People, RunGateway
from fixtures.processes.otlp import Collector, collector  # noqa: F401 - a fixture
from fixtures.processes.programs import RunOperator, RunWorker, WorkerProcess
from fixtures.waiting import eventually

pytestmark = pytest.mark.integration

TOKEN = 'tok-8f3a91/c07b+7Zq"x-é'
ASCII = "key-55d0c1f2a9e84b37"
MAY_READ = [{"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"]}]

LEAKY = """\
import os
import sys

from chaingraph_flow import Any, Input, Node, NodeFailed, Output, Secret, String


class Leak(Node):
    type = "{module}.Leak"
    secret = Input(Secret(), required=True)
    way = Input(String())
    value = Output(Any(), optional=True)

    def run(self, context):
        value = self.secret.get_secret_value()
        print("printed", end=" ")
        print(value[:5], end="")
        print(value[5:], flush=True)
        sys.stderr.write(f"on stderr: {value}\\n")
        context.log(f"logged {value}")
        context.emit("leaked", {"value": value})
        self.value = {"text": value, value: [value]}
        if self.way == "raise":
            raise ValueError(value)
        if self.way == "kill" and context.node_attempt == 1:
            os.kill(os.getpid(), 11)


class Heard(Node):
    type = "{module}.Heard"
    listens_to = "event"
    event = Input(String(), static=True)
    payload = Output(Any(), optional=True)

    def run(self, context):
        self.payload = context.event.payload
"""


def reference(key: str = "token", name: str = "api") -> dict[str, Any]:
    return {"secretKeyRef": {"name": name, "key": key}}


def secret(cluster: Cluster, name: str = "api", *, allowed: bool = True, **values: str) -> None:
    labels = {"chaingraph.dev/allow": "true"} if allowed else {}
    data = {key: base64.b64encode(value.encode()).decode() for key, value in values.items()}
    manifest = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name, "labels": labels}, "data": data}
    cluster.kubectl("apply", "-f", "-", input=json.dumps(manifest))


@pytest.fixture
def server() -> Iterator[RawServer]:
    with raw_server() as found:
        found.answers["/echo"] = answer(json.dumps({"token": TOKEN, "key": [ASCII]}).encode(), f"X-Key: {ASCII}")
        body = f"{'x' * 190}{ASCII}{'y' * 3900}{ASCII} {json.dumps({'t': TOKEN})}"
        found.answers["/broken"] = answer(body.encode(), status="500 Oops")
        yield found


@pytest.fixture
def start_worker_with_secrets(
    cluster: Cluster, control_plane: ControlPlane, run_worker: RunWorker, tmp_path: Path
) -> Callable[..., WorkerProcess]:
    """Starts workers that may read the Secrets of the namespace, and have nodes that give them away."""
    kubeconfig = kubeconfig_of_service_account(cluster, control_plane, tmp_path, rules=MAY_READ, name="worker")
    nodes = tmp_path / "leaky-nodes"
    plugins.install(nodes, "leaky", LEAKY)
    plugins.install(nodes, "work", plugins.WORK)

    def start(**environment: str) -> WorkerProcess:
        settings = {
            "KUBECONFIG": str(kubeconfig),
            "CHAINGRAPH_SECRET_NAMESPACES": cluster.namespace,
            "LOG_LEVEL": "debug",
            "PYTHONPATH": os.fspath(nodes),
        }
        return run_worker(**{**settings, **environment})

    return start


def ask(node_id: str, server: RawServer, path: str, **inputs: Any) -> dict[str, Any]:
    return {"id": node_id, "type": "HTTP", "inputs": {"baseUri": server.url, "path": path, **inputs}}


async def settled(cluster: Cluster, name: str, phase: str) -> dict[str, Any]:
    async def look() -> dict[str, Any] | None:
        status = cluster.status("Execution", name)
        return status if status.get("phase") == phase else None

    return await eventually(look, within=60, what=f"{name} {phase}; it is {cluster.status('Execution', name)}")


@pytest.mark.long
async def test_value_is_nowhere_after_success_failure_retry_crash_and_debug(
    cluster: Cluster,
    start_worker_with_secrets: Callable[..., WorkerProcess],
    run_operator: RunOperator,
    run_gateway: RunGateway,
    people: People,
    server: RawServer,
    collector: Collector,  # noqa: F811 - the fixture
    database_url: str,
    tmp_path: Path,
) -> None:
    secret(cluster, token=TOKEN, key=ASCII)
    worker = start_worker_with_secrets(**collector.environment)
    run_operator(LOG_LEVEL="debug", **collector.environment)
    worker.wait_ready()
    inputs = {"inputs": {"token": reference(), "key": reference("key")}}
    declared = [{"name": "token", "type": "secret", "required": True}, {"name": "key", "type": "secret"}]
    echo = ask("echo", server, "/echo", username="etl")
    edges = [{"from": "inputs.token", "to": "echo.password"}, {"from": "inputs.key", "to": "echo.secretHeaders.X-Key"}]
    cluster.apply(
        "Flow",
        "echo",
        {
            "inputs": declared,
            "outputs": [{"name": "answer", "from": "echo.response"}, {"name": "head", "from": "echo.responseHeaders"}],
            "nodes": [echo, {"id": "shown", "type": "JSONWrite"}],
            "edges": [*edges, {"from": "echo.response", "to": "shown.value"}],
        },
    )
    broken = ask("broken", server, "/broken", bearerToken=reference("key"), secretQuery={"t": reference()})
    cluster.apply("Flow", "broken", {"nodes": [{**broken, "retry": {"maxAttempts": 2, "backoffSeconds": 0}}]})
    for way, retry in (("raise", 2), ("kill", 2), ("output", 1)):
        leak = {"id": "leak", "type": "leaky.Leak", "inputs": {"way": way, "secret": reference("key")}}
        leak["retry"] = {"maxAttempts": retry, "backoffSeconds": 0}
        heard = {"id": "heard", "type": "leaky.Heard", "inputs": {"event": "leaked"}}
        cluster.apply("Flow", way, {"nodes": [leak, heard]})
    moved = [ask("first", server, "/echo", bearerToken=reference("key")), {"id": "work", "type": "work.Work"}]
    moved += [ask("second", server, "/echo", secretHeaders={"X": reference("key")})]
    moved[1]["inputs"] = {"milliseconds": 1500}
    order = [{"from": "first.__success", "to": "work.__execute"}, {"from": "work.__success", "to": "second.__execute"}]
    cluster.apply("Flow", "moved", {"nodes": moved, "edges": order})

    options = {"debug": True, "breakpoints": ["shown"]}
    uid = cluster.apply("Execution", "debugged", {"flowRef": {"name": "echo"}, "options": options, **inputs})
    for name in ("broken", "raise", "kill", "output", "moved"):
        cluster.apply("Execution", name, {"flowRef": {"name": name}})
    await settled(cluster, "debugged", "Paused")
    cluster.apply("Execution", "debugged", {"flowRef": {"name": "echo"}, "options": options, **inputs, "resume": "a"})
    debugged = await settled(cluster, "debugged", "Completed")
    await settled(cluster, "broken", "Failed")
    await settled(cluster, "raise", "Failed")
    await settled(cluster, "kill", "Completed")
    await settled(cluster, "output", "Completed")

    await eventually(lambda: _seen(server, f"Bearer {ASCII}"), what="the first request")
    os.kill(worker.process.pid, signal.SIGKILL)
    second = start_worker_with_secrets(**collector.environment)
    second.wait_ready()
    await settled(cluster, "moved", "Completed")
    gateway = run_gateway()
    path = f"/namespaces/{cluster.namespace}/executions"
    pages = ("debugged/nodes/echo", "debugged/outputs", "raise", "raise/journal", "raise/nodes/leak")
    served = [await gateway.ask(f"{path}/{each}", people.admin) for each in pages]
    assert [each.status_code for each in served] == [200] * len(pages)
    events = await gateway.all(f"{path}/raise/events", people.admin)

    assert debugged["outputs"] == {"answer": {"token": "***", "key": ["***"]}, "head": debugged["outputs"]["head"]}
    assert debugged["outputs"]["head"]["x-key"] == "***"
    assert any(TOKEN in base64.b64decode(each).decode() for each in _basic(server)), "the server has got the token"
    found = [
        *in_tables(database_url),
        *in_objects(cluster),
        *in_logs(tmp_path),
        ("traces", repr(collector.received)),
        *((str(each.url), each.text) for each in served),
        ("event stream", repr(events)),
    ]
    everything = {name: text for name, text in found if text}
    assert uid in everything["executions.chaingraph.dev"]
    assert "on stderr: ***" in "".join(text for name, text in everything.items() if name.endswith(".log"))
    replaced = {name for name, text in everything.items() if "***" in text}
    looked_at = {"chaingraph.executions", "chaingraph.journal", "chaingraph.events", "event stream", "traces"}
    assert replaced > {*looked_at, "executions.chaingraph.dev", *(str(each.url) for each in served)}
    forms = [*traces_of(TOKEN), *traces_of(ASCII)]
    leaks = [(name, form) for name, text in everything.items() for form in forms if form in text]
    assert leaks == []


async def _seen(server: RawServer, authorization: str) -> bool:
    return any(each.headers.get("authorization") == authorization and "/echo" in each.line for each in server.requests)


def _basic(server: RawServer) -> list[str]:
    sent = [each.headers.get("authorization", "") for each in server.requests]
    return [each.removeprefix("Basic ") for each in sent if each.startswith("Basic ")]


async def test_secret_that_must_not_be_used_fails_its_node_with_the_reason(
    cluster: Cluster,
    start_worker_with_secrets: Callable[..., WorkerProcess],
    run_operator: RunOperator,
    server: RawServer,
    tmp_path: Path,
) -> None:
    secret(cluster, key=ASCII, short="1234")
    secret(cluster, "private", allowed=False, key=ASCII)
    folder = tmp_path / "mounted" / cluster.namespace
    folder.mkdir(parents=True)
    (folder / "from-file").write_text("value-of-a-file", encoding="utf-8")
    (folder.parent / "outside").write_text("value-of-the-outside", encoding="utf-8")
    worker = start_worker_with_secrets(CHAINGRAPH_SECRETS_FOLDER=str(folder.parent))
    run_operator()
    cases = {
        "missing": (reference("key", "nothing"), "SecretNotFound", "Secret 'nothing' in namespace '{}' not found"),
        "no-key": (reference("kye"), "SecretKeyNotFound", "has no key 'kye': it has key, short"),
        "no-label": (reference("key", "private"), "SecretNotAllowed", "lacks the label chaingraph.dev/allow"),
        "short": (reference("short"), "SecretInvalid", "fewer than 6 characters"),
        "no-file": ({"secretFileRef": {"name": "none"}}, "SecretNotFound", "secret file 'none' not found"),
        "outside": ({"secretFileRef": {"name": "outside"}}, "SecretNotFound", "secret file 'outside' not found"),
    }
    worker.wait_ready()
    outputs = [{"name": "error", "from": "ask.__error"}]
    for name, (used, _, _) in cases.items():
        nodes = [ask("ask", server, f"/{name}", bearerToken=used)]
        cluster.apply("Execution", name, {"flow": {"nodes": nodes, "outputs": outputs}})
    nodes = [ask("ask", server, "/file", bearerToken={"secretFileRef": {"name": "from-file"}})]
    cluster.apply("Execution", "file", {"flow": {"nodes": nodes}})
    for name, (_, reason, message) in cases.items():
        status = await settled(cluster, name, "Completed")
        error = status["outputs"]["error"]
        assert error["reason"] == reason, error
        assert message.format(cluster.namespace) in error["message"]
    await settled(cluster, "file", "Completed")
    assert [each.headers["authorization"] for each in server.requests] == ["Bearer value-of-a-file"]
    figures = worker.get("/metrics").text
    assert 'chaingraph_worker_secrets_total{result="SecretNotAllowed"} 1.0' in figures


async def test_worker_without_the_right_says_so(
    cluster: Cluster,
    control_plane: ControlPlane,
    start_worker_with_secrets: Callable[..., WorkerProcess],
    run_operator: RunOperator,
    server: RawServer,
    tmp_path: Path,
) -> None:
    secret(cluster, key=ASCII)
    nobody = kubeconfig_of_service_account(cluster, control_plane, tmp_path, rules=[], name="nobody")
    start_worker_with_secrets(KUBECONFIG=str(nobody), CHAINGRAPH_QUEUES="without-right").wait_ready()
    start_worker_with_secrets(CHAINGRAPH_SECRET_NAMESPACES="other", CHAINGRAPH_QUEUES="others").wait_ready()
    run_operator()
    nodes = [ask("ask", server, "/", bearerToken=reference("key"))]
    flow = {"nodes": nodes, "outputs": [{"name": "error", "from": "ask.__error"}]}
    for queue, told in (
        ("without-right", "no right to get Secrets there"),
        ("others", "reads no Secrets in namespace"),
    ):
        cluster.apply("Execution", queue, {"flow": flow, "queue": queue})
        error = (await settled(cluster, queue, "Completed"))["outputs"]["error"]
        assert error["reason"] == "SecretForbidden"
        assert told in error["message"]
        assert "secretNamespaces" in error["message"]
    assert server.requests == []


async def test_rotated_secret_is_used_by_the_next_execution(
    cluster: Cluster,
    start_worker_with_secrets: Callable[..., WorkerProcess],
    run_operator: RunOperator,
    server: RawServer,
) -> None:
    start_worker_with_secrets().wait_ready()
    run_operator()
    cluster.apply("Flow", "ask", {"nodes": [ask("ask", server, "/", bearerToken=reference())]})
    for name, value in (("before", "the-first-value"), ("after", "the-second-value")):
        secret(cluster, token=value)
        cluster.apply("Execution", name, {"flowRef": {"name": "ask"}})
        await settled(cluster, name, "Completed")
    sent = [each.headers["authorization"] for each in server.requests]
    assert sent == ["Bearer the-first-value", "Bearer the-second-value"]


async def test_value_in_place_of_a_reference_is_refused_and_not_repeated(
    cluster: Cluster, run_worker: RunWorker, run_operator: RunOperator, database_url: str, tmp_path: Path
) -> None:
    run_worker().wait_ready()
    run_operator(LOG_LEVEL="debug")
    inputs = {"baseUri": "https://example.com"}
    nodes = [{"id": "ask", "type": "HTTP", "inputs": inputs}]
    edges = [{"from": "inputs.token", "to": "ask.bearerToken"}]
    flow = {"inputs": [{"name": "token", "type": "secret"}], "nodes": nodes, "edges": edges}
    cluster.apply("Flow", "good", flow)
    await cluster.condition("Flow", "good", "Ready", status="True")
    cluster.apply("Execution", "plain", {"flowRef": {"name": "good"}, "inputs": {"token": ASCII}})
    other = {"secretKeyRef": {"name": "api", "key": "token", "namespace": ASCII}}
    cluster.apply("Execution", "elsewhere", {"flowRef": {"name": "good"}, "inputs": {"token": other}})
    inputs["password"] = ASCII
    cluster.apply("Flow", "bad", {"nodes": nodes})
    refused = await cluster.condition("Execution", "plain", "Succeeded", status="False")
    assert refused["message"].startswith("spec.inputs.token: must be a reference to a Secret, {secretKeyRef:")
    assert "remove it from here and replace it" in refused["message"]
    refused = await cluster.condition("Execution", "elsewhere", "Succeeded", status="False")
    assert refused["message"].startswith("spec.inputs.token.secretKeyRef.namespace: ")
    ready = await cluster.condition("Flow", "bad", "Ready", status="False")
    assert "spec.nodes[0].inputs.password: must be a reference to a Secret" in ready["message"]
    conditions = [refused, ready, cluster.status("Execution", "plain"), cluster.status("Execution", "elsewhere")]
    assert ASCII not in json.dumps(conditions)
    events = cluster.kubectl("get", "events", "-o", "json").stdout
    assert ASCII not in events
    for name, text in (*in_tables(database_url), *in_logs(tmp_path)):
        assert ASCII not in text, name
    with psycopg.connect(database_url) as connection:
        assert connection.execute("SELECT count(*) FROM chaingraph.executions").fetchone() == (0,)


@pytest.mark.parametrize(
    ("environment", "told"),
    [
        (
            {"CHAINGRAPH_SECRET_NAMESPACES": "team-a", "KUBECONFIG": "/nowhere/kubeconfig"},
            "no Kubernetes configuration",
        ),
        ({"CHAINGRAPH_SECRET_NAMESPACES": "Team A"}, "'Team A' is not the name of a namespace"),
        ({"CHAINGRAPH_SECRETS_FOLDER": "/nowhere/secrets"}, "which is not a folder here"),
    ],
)
def test_worker_with_wrong_settings_for_secrets_does_not_start(
    run_worker: RunWorker, environment: dict[str, str], told: str
) -> None:
    worker = run_worker(**environment)
    assert worker.process.wait(60) == 2
    assert told in worker.log


async def test_token_of_the_nightly_example_is_sent_and_shown_nowhere(
    cluster: Cluster,
    start_worker_with_secrets: Callable[..., WorkerProcess],
    run_operator: RunOperator,
    server: RawServer,
    database_url: str,
    tmp_path: Path,
) -> None:
    start_worker_with_secrets().wait_ready()
    run_operator(LOG_LEVEL="debug")
    token = "a-token-for-the-shop"
    orders = {"orders": [{"id": 1, "total": 40}, {"id": 2, "total": 2, "note": token}], "next": ""}
    server.answers["/shop/orders-1.json"] = answer(json.dumps(orders).encode())
    made = [each for each in examples.load(ROOT / "examples") if each.file.name == "12-secrets.yaml"]
    manifests = [each.fetching_from(server.url).manifest for each in made]
    listed = {"apiVersion": "v1", "kind": "List", "items": manifests}
    cluster.kubectl("apply", "-f", "-", input=json.dumps(listed))
    status = await settled(cluster, "nightly-sales", "Completed")
    assert status["outputs"] == {"orders": 2, "total": 42}
    assert [each.headers["authorization"] for each in server.requests] == [f"Bearer {token}"]
    tables = [*in_tables(database_url)]
    assert any("***" in text for _, text in tables), "the server has sent it back"
    for name, text in (*tables, *in_objects(cluster), *in_logs(tmp_path)):
        assert not [form for form in traces_of(token) if form in text], name
