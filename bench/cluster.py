"""A `chaingraph up` of a benchmark's own, and a client of its API server. Used by every benchmark."""

from __future__ import annotations

import asyncio
import base64
import os
import ssl
import sys
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import yaml

from chaingraph_cli.cluster.programs import postgres
from chaingraph_cli.cluster.state import StateFolder

EXECUTIONS = "/apis/chaingraph.dev/v1alpha1/namespaces/default/executions"


def sleeps(count: int, milliseconds: int) -> dict[str, Any]:
    """A chain of sleeps `n0`, `n1`, … Each keeps its slot if it is at most two seconds."""
    nodes = [{"id": f"n{n}", "type": "Sleep", "inputs": {"milliseconds": milliseconds}} for n in range(count)]
    edges = [{"from": f"n{n}.__success", "to": f"n{n + 1}.__execute"} for n in range(count - 1)]
    return {"nodes": nodes, "edges": edges}


def executions_of(namespace: str) -> str:
    """The path of a namespace's executions."""
    return f"/apis/chaingraph.dev/v1alpha1/namespaces/{namespace}/executions"


FLOWS = "/apis/chaingraph.dev/v1alpha1/namespaces/default/flows"

STEPS: dict[str, Any] = {
    "inputs": [{"name": "n", "type": "number", "required": True}],
    "outputs": [{"name": "text", "from": "tell.result"}],
    "nodes": [
        {"id": "double", "type": "Math", "inputs": {"operation": "multiply", "b": 2}},
        {"id": "add", "type": "Math", "inputs": {"operation": "add", "b": 1}},
        {"id": "tell", "type": "Template", "inputs": {"template": "{{ n }}"}},
    ],
    "edges": [
        {"from": "inputs.n", "to": "double.a"},
        {"from": "double.result", "to": "add.a"},
        {"from": "add.result", "to": "tell.values.n"},
    ],
}
"""A flow of three short nodes, each reading what the one before has made."""


@dataclass(frozen=True)
class BenchCluster:
    """What a benchmark needs of its cluster."""

    api: httpx.AsyncClient
    database_url: str
    logs: Path

    async def apply_flow(self, name: str, spec: dict[str, Any]) -> None:
        manifest = {"apiVersion": "chaingraph.dev/v1alpha1", "kind": "Flow", "metadata": {"name": name}, "spec": spec}
        (await self.api.post(FLOWS, json=manifest)).raise_for_status()

    async def create_execution(
        self, name: str, spec: Mapping[str, Any], *, namespace: str = "default"
    ) -> dict[str, Any]:
        manifest = {
            "apiVersion": "chaingraph.dev/v1alpha1",
            "kind": "Execution",
            "metadata": {"name": name},
            "spec": spec,
        }
        answer = await self.api.post(executions_of(namespace), json=manifest)
        answer.raise_for_status()
        created: dict[str, Any] = answer.json()
        return created

    async def completed(self) -> int:
        """How many executions the API server shows as Completed."""
        answer = await self.api.get(
            EXECUTIONS,
            params={"fieldSelector": "status.phase=Completed"},
            headers={"Accept": "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"},
        )
        answer.raise_for_status()
        return len(answer.json()["items"] or ())


@asynccontextmanager
async def bench_cluster(*, workers: int = 1, **environment: str) -> AsyncIterator[BenchCluster]:
    """Brings a cluster up and ends it, with all its data, afterwards."""
    with tempfile.TemporaryDirectory(prefix="chaingraph-bench-") as folder:
        state = Path(folder) / "state"
        await _chaingraph("up", "--detach", f"--workers={workers}", f"--state={state}", **environment)
        try:
            async with _client(state / "kubeconfig") as api:
                yield BenchCluster(api, _database_url(state), state / "logs")
        finally:
            await _chaingraph("down", "--delete", f"--state={state}")


async def _chaingraph(*arguments: str, **environment: str) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "chaingraph_cli.main", *arguments, env=os.environ | {"PYTHONSAFEPATH": "1"} | environment
    )
    if await process.wait():
        raise SystemExit(f"bench: `chaingraph {' '.join(arguments)}` failed; its output is above")


def _client(kubeconfig: Path) -> httpx.AsyncClient:
    config = yaml.safe_load(kubeconfig.read_text(encoding="utf-8"))
    cluster = config["clusters"][0]["cluster"]
    if data := cluster.get("certificate-authority-data"):
        trusted = ssl.create_default_context(cadata=base64.b64decode(data).decode())
    else:
        trusted = ssl.create_default_context(cafile=cluster["certificate-authority"])
    return httpx.AsyncClient(
        base_url=cluster["server"],
        headers={"Authorization": f"Bearer {config['users'][0]['user']['token']}"},
        verify=trusted,
        trust_env=False,
        timeout=60,
        limits=httpx.Limits(max_connections=16),
    )


def _database_url(state: Path) -> str:
    """Of the PostgreSQL that `chaingraph up` has made in this state folder."""
    known = StateFolder.at(state).load()
    assert known is not None, "it was just brought up"
    return postgres.plan(state, port=known.ports["postgres"], logs=state / "logs").url()
