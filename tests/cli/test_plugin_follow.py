"""Following for longer than a stream, a token or a name lasts: `events --follow`, `create --follow`, `tree --watch`."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest
import yaml

from fixtures.cluster.control_plane import ControlPlane
from fixtures.ledger.written_log import Written, WrittenLog
from fixtures.plugin.plugin import FLOW, Done, Plugin
from fixtures.processes.gateway import LOG_READER, READER, GatewayProcess, People, RunGateway
from fixtures.waiting import eventually

pytestmark = pytest.mark.integration

AGED = "chaingraph_gateway_streams_aged_total"
STREAMS = "chaingraph_gateway_streams"
API = "client.authentication.k8s.io/v1"


@pytest.fixture
def brief(run_gateway: RunGateway) -> GatewayProcess:
    """A gateway whose streams live for one or two seconds."""
    return run_gateway(CHAINGRAPH_STREAM_SECONDS="1", CHAINGRAPH_HEARTBEAT_SECONDS="0.5")


class Follower:
    """Runs the commands against one gateway, as one user."""

    def __init__(self, plugin: Plugin, gateway: GatewayProcess, control_plane: ControlPlane) -> None:
        self._plugin = plugin
        self._kubeconfig = control_plane.kubeconfig
        self._environment = {"CHAINGRAPH_GATEWAY": gateway.url, "CHAINGRAPH_GATEWAY_CA": str(gateway.ca)}

    def become(self, user: Mapping[str, Any], name: str = "user") -> None:
        """From now on as this user, in a kubeconfig of this name."""
        content = yaml.safe_load(self._kubeconfig.read_text(encoding="utf-8"))
        content["users"][0]["user"] = dict(user)
        path = self._plugin.folder / f"{name}.kubeconfig"
        path.write_text(yaml.safe_dump(content), encoding="utf-8")
        self._environment = self._environment | {"KUBECONFIG": str(path)}

    def __call__(self, *arguments: str, **options: Any) -> asyncio.Task[Done]:
        run = asyncio.to_thread(self._plugin, *arguments, environment=self._environment, **options)
        return asyncio.create_task(run)


@pytest.fixture
def follower(plugin: Plugin, brief: GatewayProcess, control_plane: ControlPlane) -> Follower:
    return Follower(plugin, brief, control_plane)


class Issuer:
    """An exec plugin that gives a token for one use, and a wrong one once it is told to."""

    def __init__(self, folder: Path, token: str) -> None:
        folder.mkdir()
        self._wrong = folder / "wrong"
        for name, given in (("good", token), ("bad", "nonsense")):
            status = {"token": given, "expirationTimestamp": "2020-01-01T00:00:00Z"}
            answer = {"apiVersion": API, "kind": "ExecCredential", "status": status}
            (folder / name).write_text(json.dumps(answer), encoding="utf-8")
        script = folder / "get-token"
        script.write_text(
            f"#!/bin/sh\ncd {folder}\nif rm wrong 2>/dev/null; then cat bad; else cat good; fi\n", encoding="utf-8"
        )
        script.chmod(0o755)
        self.user = {"exec": {"apiVersion": API, "command": str(script), "interactiveMode": "Never"}}

    def fail_once(self) -> None:
        self._wrong.touch()


def indices(done: Done) -> list[int]:
    return [int(line.split()[0]) for line in done.stdout.splitlines()]


async def resource(plugin: Plugin, written: Written, name: str = "nightly", **status: Any) -> WrittenLog:
    """An execution that runs, with its resource."""
    plugin.create(name)
    log = await written.execution(name, uid=plugin.get(name)["metadata"]["uid"])
    plugin.show(name, **{"phase": "Running", "executionID": log.id} | status)
    return log


async def until(gateway: GatewayProcess, figure: str, least: float) -> None:
    async def reached() -> bool:
        return gateway.metric(figure) >= least

    await eventually(reached, what=f"{figure} to be {least}")


async def kept_busy(gateway: GatewayProcess, log: WrittenLog, *following: asyncio.Task[Done], ends: int) -> int:
    """Writes events until so many streams have ended; returns the last one's index."""
    last = -1
    while gateway.metric(AGED) < ends:
        for each in following:
            assert not each.done(), each.result()
        await log.append("node:started", "node:completed")
        last += 2
        await asyncio.sleep(0.05)
    return last


async def test_follow_prints_each_event_once_across_many_ends(
    brief: GatewayProcess, follower: Follower, plugin: Plugin, written: Written
) -> None:
    flow = json.dumps({"nodes": FLOW["nodes"]})
    created = follower("create", "-f", "-", "--name", "nightly", "--follow", input=flow)

    async def there() -> str:
        found = plugin.kubectl("get", "cgx", "nightly", "-o", "jsonpath={.metadata.uid}", check=False)
        return found.stdout if found.returncode == 0 else ""

    log = await written.execution(uid=await eventually(there, what="the resource"))
    plugin.show("nightly", phase="Running", executionID=log.id)
    everything = follower("events", "nightly", "--follow")
    some = follower("events", "nightly", "--follow", "--type", "flow:completed")
    await until(brief, STREAMS, 3)
    last = await kept_busy(brief, log, everything, some, created, ends=9)
    await log.complete()
    for each in (everything, some, created):
        done = await each
        assert (done.returncode, done.stderr) == (0, "")
    assert indices(everything.result()) == list(range(-1, last + 2))
    assert indices(some.result()) == [last + 1]
    name, *events = created.result().stdout.splitlines()
    assert name == "nightly"
    assert [int(line.split()[0]) for line in events] == list(range(-1, last + 2))


async def test_follow_reports_a_lost_right(
    brief: GatewayProcess, follower: Follower, written: Written, people: People
) -> None:
    await written.execution()
    follower.become({"token": people.service_account("reader", LOG_READER).token})
    following = follower("events", "nightly", "--follow")
    await until(brief, STREAMS, 1)
    people.kubectl("-n", people.namespace, "delete", "rolebinding", "reader")
    done = await following
    assert done.returncode == 5, done.stderr
    assert indices(done) == [-1]
    assert "reader may not get executions/log" in done.stderr


async def test_follow_reports_a_rejected_token(
    brief: GatewayProcess, follower: Follower, plugin: Plugin, written: Written, people: People
) -> None:
    await written.execution()
    file = plugin.folder / "token"
    file.write_text(people.service_account("reader", LOG_READER).token, encoding="utf-8")
    follower.become({"tokenFile": str(file)})
    following = follower("events", "nightly", "--follow")
    await until(brief, AGED, 2)
    file.write_text("nonsense", encoding="utf-8")
    done = await following
    assert done.returncode == 6, done.stderr
    assert indices(done) == [-1]
    assert "the API server does not accept the token, it may have expired" in done.stderr


async def test_follow_asks_the_exec_plugin_for_a_new_token(
    brief: GatewayProcess, follower: Follower, plugin: Plugin, written: Written, people: People
) -> None:
    log = await resource(plugin, written)
    token = people.service_account("reader", LOG_READER, READER).token
    issuers = {what: Issuer(plugin.folder / what, token) for what in ("events", "tree")}
    follower.become(issuers["events"].user, "events")
    events = follower("events", "nightly", "--follow")
    follower.become(issuers["tree"].user, "tree")
    tree = follower("tree", "nightly", "--watch", "--no-headers")
    answers = 'chaingraph_gateway_requests_total{route="/executions/{id}/%s",status="%d"}'
    for what, issuer in issuers.items():
        await until(brief, answers % (what, 200), 1)
        issuer.fail_once()
        await until(brief, answers % (what, 401), 1)
    last = await kept_busy(brief, log, events, tree, ends=3)
    await log.complete()
    for following in (events, tree):
        done = await following
        assert (done.returncode, done.stderr) == (0, "")
    assert indices(events.result()) == list(range(-1, last + 2))
    # A line for each change, of which its start may be one.
    phases = [line.split()[1] for line in tree.result().stdout.splitlines()]
    assert [phase for phase, _ in groupby(phases)] == ["Running", "Completed"]


async def test_follow_ignores_another_execution_of_the_name(
    brief: GatewayProcess, follower: Follower, plugin: Plugin, written: Written
) -> None:
    log = await resource(plugin, written)
    following = follower("events", "nightly", "--follow")
    await until(brief, AGED, 1)
    other = await written.execution()
    await other.append(*["node:failed"] * 5)
    last = await kept_busy(brief, log, following, ends=3)
    await log.complete()
    done = await following
    assert (done.returncode, done.stderr) == (0, "")
    assert indices(done) == list(range(-1, last + 2))
    assert "node:failed" not in done.stdout


async def test_follow_reports_the_removal_of_its_execution(
    brief: GatewayProcess, follower: Follower, written: Written
) -> None:
    log = await written.execution()
    following = follower("events", "nightly", "--follow")
    await until(brief, STREAMS, 1)
    async with log.ledger.transaction() as connection:
        await connection.execute("DELETE FROM chaingraph.executions WHERE id = %s", (log.id,))
    done = await following
    assert done.returncode == 4, done.stderr
    assert "The execution was removed from the database while its events were followed." in done.stderr
