"""A random mix of hostile objects and honest executions through the API: operator, gateway and workers last."""

from __future__ import annotations

import os
import random
import string
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import orjson
import pytest

from chaingraph_crds import names
from chaingraph_store.ledger import Ledger
from fixtures.cluster.control_plane import ControlPlane, Kubectl
from fixtures.cluster.rest import Rest
from fixtures.cluster.view import Cluster
from fixtures.flows import hostile
from fixtures.flows.hostile_flows import attack, honest
from fixtures.processes.gateway import GatewayProcess, Person, RunGateway
from fixtures.processes.programs import Process, RunOperator, RunWorker
from fixtures.soak import SOAK_SECONDS, seeds
from fixtures.waiting import eventually

pytestmark = [pytest.mark.integration, pytest.mark.crash, pytest.mark.soak]
OPERATOR_MEMORY = 768 * 2**20
GATEWAY_MEMORY = 512 * 2**20
"""What the chart gives them."""


def stale_edges(random_: random.Random) -> dict[str, Any]:
    """Edges between nodes that are not there, as a generator with old names writes them."""

    def name() -> str:
        return "".join(random_.choices(string.ascii_lowercase, k=60))

    nodes = [{"id": name(), "type": "Text", "inputs": {"value": "x"}} for _ in range(random_.randint(50, 400))]
    edges = [{"from": f"{name()}.value", "to": f"{name()}.value"} for _ in range(random_.randint(50, 400))]
    return {"nodes": nodes, "edges": edges}


def shared_types(random_: random.Random) -> dict[str, Any]:
    """Objects whose types double with each node."""
    length = random_.randint(10, 40)
    nodes: list[dict[str, Any]] = [{"id": f"n{number}", "type": "Object"} for number in range(length)]
    edges = [
        {"from": f"n{number}.value", "to": f"n{number + 1}.value.{side}"}
        for number in range(length - 1)
        for side in ("x", "y")
    ]
    return {"nodes": nodes, "edges": edges}


def patterns(random_: random.Random) -> dict[str, Any]:
    """Patterns that take much memory once they are compiled."""
    form = random_.choice((r"\w{%d}x", r"(\w|\d){%d}", r"[^\s]{%d}", r"(a|b|c){%d}"))
    width = random_.randint(50, 1000)
    properties = {
        f"p{number}": {"type": "string", "pattern": form % width + str(number)}
        for number in range(random_.randint(10, 90))
    }
    schema = {"type": "object", "properties": properties}
    return {"nodes": [{"id": "a", "type": "Object", "inputs": {"value": {}, "schema": schema}}]}


def deep(random_: random.Random) -> str:
    """JSON of a flow that many decoders cannot read."""
    levels = random_.choice((99, 120, 260, 1_100, 4_000))
    value = "[" * levels + "]" * levels if random_.random() < 0.5 else '{"a":' * levels + "1" + "}" * levels
    return f'{{"nodes":[{{"id":"a","type":"Cast","inputs":{{"value":{value}}}}}]}}'


def memory(process: Process) -> int:
    """The most memory that a process has had, in bytes."""
    status = Path(f"/proc/{process.process.pid}/status").read_text()
    return 1024 * next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM:"))


@dataclass(frozen=True)
class Installation:
    """One installation, and the namespaces of its three tenants. The first one is honest as well."""

    tenants: Sequence[Cluster]
    rest: Rest
    gateway: GatewayProcess
    person: Person
    processes: Mapping[str, Process]
    folder: Path

    async def play(self, random_: random.Random, round_: int, count: int) -> None:
        """Have hostile and honest objects made, wait for the ends of all, and remove them."""
        made: list[tuple[Cluster, str]] = []
        good: list[tuple[Cluster, str, Path, int]] = []
        for number in range(round_ * count, (round_ + 1) * count):
            tenant = self.tenants[number % 2]
            for kind in random_.sample((stale_edges, shared_types, patterns), 2):
                self.create(tenant, "Flow", f"flow-{number}-{kind.__name__.replace('_', '-')}", kind(random_))
            self.rest.create_text(tenant.namespace, "Flow", manifest("Flow", f"deep-{number}", deep(random_)))
            self.create(tenant, "Execution", f"evil-{number}", {"flow": attack(random_)})
            effects = self.folder / f"effects-{number}"
            flow = honest(random_, effects)
            neighbour = random_.choice(self.tenants)
            neighbour.apply("Execution", f"good-{number}", {"flow": flow})
            good.append((neighbour, f"good-{number}", effects, len(flow["nodes"])))
            made.append((tenant, f"evil-{number}"))
        for neighbour, name, effects, nodes in good:
            await neighbour.condition("Execution", name, "Succeeded", status="True", within=300)
            assert len(effects.read_text().split()) == nodes, "each node had its effect once"
            assert neighbour.status("Execution", name).get("attempt", 1) == 1
        for tenant, name in made:
            ended = await eventually(partial(end_of, tenant, name), within=300, what=f"the end of {name}")
            answer = await self.gateway.ask(f"/executions/{ended['executionID']}", self.person)
            assert answer.status_code == 200, answer.text
        self.check()
        for tenant in self.tenants:
            self.rest.remove_all(tenant.namespace, "execution")
            self.rest.remove_all(tenant.namespace, "flow")

    def create(self, tenant: Cluster, kind: str, name: str, spec: dict[str, Any]) -> None:
        self.rest.create_text(tenant.namespace, kind, manifest(kind, name, orjson.dumps(spec).decode()))

    def check(self) -> None:
        """All processes are the ones that were started, and have kept what the chart gives them."""
        for process in self.processes.values():
            assert process.process.poll() is None, process.log[-2000:]
        assert memory(self.processes["operator"]) < OPERATOR_MEMORY
        assert memory(self.processes["gateway"]) < GATEWAY_MEMORY

    def megabytes(self) -> str:
        """The most memory that each process has had."""
        return ", ".join(f"{name} {memory(process) // 2**20} MB" for name, process in self.processes.items())


@pytest.mark.long
@pytest.mark.timeout(900 + SOAK_SECONDS)
@pytest.mark.parametrize("seed", seeds(7))
async def test_hostile_objects_cost_honest_executions_nothing(
    cluster: Cluster,
    rest: Rest,
    kubectl: Kubectl,
    control_plane: ControlPlane,
    ledger: Ledger,
    run_operator: RunOperator,
    run_gateway: RunGateway,
    run_worker: RunWorker,
    tmp_path: Path,
    seed: int,
) -> None:
    tenants = [cluster]
    for team in ("b", "c"):
        cluster.kubectl("create", "namespace", f"{cluster.namespace}-{team}")
        tenants.append(Cluster(kubectl, rest, f"{cluster.namespace}-{team}", ledger))
    operator = run_operator(CHAINGRAPH_NAMESPACES=",".join(tenant.namespace for tenant in tenants))
    gateway = run_gateway()
    path = hostile.install(tmp_path / "nodes")
    settings = {"CHAINGRAPH_RUNNER_MEMORY_MB": "64", "CHAINGRAPH_RUNNER_SILENCE_SECONDS": "1"}
    workers = [run_worker(PYTHONPATH=os.fspath(path), CHAINGRAPH_LEASE_SECONDS="6", **settings) for _ in range(2)]
    processes = {"operator": operator, "gateway": gateway, "worker 1": workers[0], "worker 2": workers[1]}
    installation = Installation(tenants, rest, gateway, Person(control_plane.token), processes, tmp_path)
    random_, count, rounds, began = random.Random(seed), 10, 0, time.monotonic()
    while rounds == 0 or time.monotonic() - began < SOAK_SECONDS:
        await installation.play(random_, rounds, count)
        rounds += 1
        seconds = time.monotonic() - began
        print(f"{seconds:.0f} s: {rounds * count} honest executions completed; {installation.megabytes()}", flush=True)


async def end_of(cluster: Cluster, name: str) -> dict[str, Any] | None:
    status = cluster.status("Execution", name)
    return status if status.get("phase") in ("Completed", "Failed") else None


def manifest(kind: str, name: str, spec: str) -> str:
    """An object as a text that the test's own encoder would not write."""
    head = orjson.dumps({"apiVersion": names.API_VERSION, "kind": kind, "metadata": {"name": name}}).decode()
    return f'{head[:-1]},"spec":{spec}}}'
