"""events, logs and tree: with a real gateway, found by the ConfigMap, with every kind of credentials."""

from __future__ import annotations

import asyncio
import base64
import json
import socket
from pathlib import Path
from typing import Any

import pytest
import yaml

from chaingraph_cli.discovery import NAME, NAMESPACE
from chaingraph_cli.errors import Unreachable
from chaingraph_cli.gateway import client
from chaingraph_cli.gateway.credentials import Credentials, Login
from fixtures.cluster.control_plane import ControlPlane
from fixtures.ledger.written_log import Written
from fixtures.plugin.plugin import Plugin
from fixtures.processes.gateway import LOG_READER, READER, GatewayProcess, People, Person, RunGateway
from fixtures.processes.proxy import MakeProxy

pytestmark = pytest.mark.integration


def kubeconfig(plugin: Plugin, control_plane: ControlPlane, user: dict[str, Any]) -> dict[str, str]:
    """The environment of somebody with other credentials than the administrator's."""
    content = yaml.safe_load(control_plane.kubeconfig.read_text(encoding="utf-8"))
    content["users"][0]["user"] = user
    path = plugin.folder / "kubeconfig"
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    return {"KUBECONFIG": str(path)}


def certificate(person: Person) -> dict[str, str]:
    assert person.certificate is not None
    names = ("client-certificate-data", "client-key-data")
    return {
        name: base64.b64encode(Path(file).read_bytes()).decode()
        for name, file in zip(names, person.certificate, strict=True)
    }


async def test_events_are_ordered_and_filtered_by_index_and_type(
    gateway: GatewayProcess, plugin: Plugin, written: Written
) -> None:
    log = await written.execution()
    await log.append("flow:started", "node:started", "node:completed", text="two\nlines")
    await log.complete()
    lines = plugin("events", "nightly").stdout.splitlines()
    assert [line.split()[0] for line in lines] == ["-1", "0", "1", "2", "3"]
    assert lines[2].split()[2:] == ["node:started", r"text=two\nlines"]
    shown = [json.loads(line) for line in plugin("events", "nightly", "--from", "2", "-o", "json").stdout.splitlines()]
    assert [each["index"] for each in shown] == [2, 3]
    assert shown[0]["data"] == {"text": "two\nlines"}
    nodes = plugin("events", "nightly", "--type", "node:*", "--type", "flow:completed").stdout.splitlines()
    assert [line.split()[2] for line in nodes] == ["node:started", "node:completed", "flow:completed"]
    assert plugin("events", "nightly", "--type", "child:failed").stdout == "No matching events yet.\n"
    assert plugin("events", "nightly", "--from", "4").stdout == "No matching events yet.\n"
    wrong = plugin("events", "nightly", "--type", "node:fialed")
    assert wrong.returncode == 2
    assert "did you mean node:failed?" in wrong.stderr


async def test_follow_reaches_the_end_over_broken_connections(
    gateway: GatewayProcess, plugin: Plugin, written: Written, make_proxy: MakeProxy
) -> None:
    proxy = make_proxy(gateway.url)
    log = await written.execution()
    await log.append("flow:started")
    arguments = ("events", "nightly", "-f", "-o", "json", "--gateway", proxy.url)
    following = asyncio.create_task(asyncio.to_thread(plugin, *arguments))
    await asyncio.to_thread(gateway.wait_figure, "chaingraph_gateway_streams 1.0", 60)  # before that, it gives up
    for _ in range(3):
        await log.append("node:started", "node:completed")
        proxy.cut()
        proxy.restore()
        await log.append("node:started", "node:completed")
        await asyncio.sleep(0.2)
    await log.complete()
    done = await following
    assert done.returncode == 0, done.stderr
    assert [json.loads(line)["index"] for line in done.stdout.splitlines()] == list(range(-1, 14))


async def test_logs_show_node_output_and_failures(gateway: GatewayProcess, plugin: Plugin, written: Written) -> None:
    log = await written.execution()
    async with log.ledger.transaction() as connection:
        for index, (type_, data) in enumerate(
            [
                ("node:started", {"nodeId": "load"}),
                ("node:debug-log-string", {"nodeId": "load", "log": "first\nsecond"}),
                ("node:debug-log-string", {"nodeId": "other", "log": "hello"}),
                ("node:failed", {"nodeId": "load", "error": "disk full", "attempts": 3}),
                ("flow:failed", {"nodeId": "load", "error": "disk full"}),
            ]
        ):
            await connection.execute(
                "INSERT INTO chaingraph.events (execution_id, index, type, at, data)"
                " VALUES (%s, %s, %s, '2026-11-24T02:03:04.5Z', %s)",
                (log.id, index, type_, json.dumps(data)),
            )
        await connection.execute("UPDATE chaingraph.executions SET next_event_index = 5 WHERE id = %s", (log.id,))
    lines = plugin("logs", "nightly").stdout.splitlines()
    assert lines == [
        "2026-11-24T02:03:04.500Z  load  first",
        "2026-11-24T02:03:04.500Z  load  second",
        "2026-11-24T02:03:04.500Z  other  hello",
        "2026-11-24T02:03:04.500Z  load  FAILED (3 attempts): disk full",
        "2026-11-24T02:03:04.500Z  load  the flow FAILED: disk full",
    ]
    assert plugin("logs", "nightly", "--node", "other").stdout.splitlines() == lines[2:3]
    silent = plugin("logs", "nightly", "--node", "nobody")
    assert (silent.returncode, silent.stdout) == (0, "")
    assert silent.stderr.endswith("No log lines and no errors of node 'nobody'.\n")


async def test_tokens_certificates_and_exec_plugins_are_accepted(
    gateway: GatewayProcess, plugin: Plugin, written: Written, people: People, control_plane: ControlPlane
) -> None:
    log = await written.execution()
    await log.complete()
    reader = people.service_account("reader", LOG_READER, READER)
    certified = people.certified("ada")
    people.grant("ada", {"kind": "User", "name": "ada", "apiGroup": "rbac.authorization.k8s.io"}, LOG_READER)
    script = plugin.folder / "get-token"
    answer = {"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential"}
    script.write_text(f"#!/bin/sh\necho '{json.dumps(answer | {'status': {'token': reader.token}})}'\n", "utf-8")
    script.chmod(0o755)
    users: list[dict[str, Any]] = [
        {"token": reader.token},
        certificate(certified),
        {"exec": {"apiVersion": answer["apiVersion"], "command": str(script), "interactiveMode": "Never"}},
    ]
    for user in users:
        done = plugin("events", "nightly", environment=kubeconfig(plugin, control_plane, user))
        assert done.returncode == 0, done.stderr
        assert "flow:completed" in done.stdout


async def test_forbidden_user_sees_the_missing_right(
    gateway: GatewayProcess, plugin: Plugin, written: Written, people: People, control_plane: ControlPlane
) -> None:
    await written.execution()
    stranger = people.service_account("stranger")
    done = plugin("events", "nightly", environment=kubeconfig(plugin, control_plane, {"token": stranger.token}))
    assert done.returncode == 5, done.stderr
    assert "executions/log" in done.stderr


def test_missing_name_is_reported_with_a_suggestion(gateway: GatewayProcess, plugin: Plugin) -> None:
    plugin.create("nightly")
    done = plugin("logs", "nigthly")
    assert done.returncode == 4
    assert f"Execution 'nigthly' not found in namespace '{plugin.namespace}'.\nDid you mean 'nightly'?" in done.stderr
    done = plugin("events", "nightly")
    assert done.returncode == 4
    assert "nightly has no events yet: waiting for the operator." in done.stderr


def test_missing_gateway_address_is_explained(plugin: Plugin) -> None:
    # `chaingraph up` on an existing cluster publishes an address there, and other tests do that to this one.
    plugin.run("kubectl", "-n", NAMESPACE, "delete", "configmap", NAME, "--ignore-not-found")
    done = plugin("events", "nightly")
    assert done.returncode == 6
    assert "ConfigMap kube-public/chaingraph not found." in done.stderr
    assert "--gateway URL or CHAINGRAPH_GATEWAY" in done.stderr


@pytest.mark.parametrize(
    ("url", "code", "words"),
    [
        ("https://127.0.0.1:1", 6, "Cannot reach the gateway https://127.0.0.1:1: Connection refused."),
        ("http://gateway.example.com", 2, "would send your credentials unencrypted"),
        ("gateway:8443", 2, "Invalid gateway address 'gateway:8443'"),
    ],
)
def test_unusable_gateway_is_reported(plugin: Plugin, url: str, code: int, words: str) -> None:
    done = plugin("events", "nightly", environment={"CHAINGRAPH_GATEWAY": url})
    assert done.returncode == code
    assert words in done.stderr


def test_silent_gateway_times_out() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"https://127.0.0.1:{silent.getsockname()[1]}"
        asked = client.Gateway(url, "", Login(lambda: Credentials(token="t")), "default", 0.2)
        with pytest.raises(Unreachable, match=f"Cannot reach the gateway {url}: timed out."):
            asked.get("/")


def test_gateway_with_unexpected_certificate_is_rejected(run_gateway: RunGateway, plugin: Plugin) -> None:
    started = run_gateway()
    done = plugin("events", "nightly", "--gateway", started.url)
    assert done.returncode == 6
    assert "Cannot verify the certificate of the gateway" in done.stderr
    assert "--gateway-ca FILE or CHAINGRAPH_GATEWAY_CA" in done.stderr
    plugin.create("nightly")
    done = plugin("events", "nightly", "--gateway", started.url, "--gateway-ca", str(started.ca))
    assert "has no events yet" in done.stderr
