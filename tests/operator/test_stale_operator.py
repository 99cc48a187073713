"""An operator that has not heard of an edit which another one has carried out: nothing is carried out once more."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml

from chaingraph_store.ids import execution_id
from chaingraph_store.ledger import Ledger
from fixtures.cluster import ControlPlane
from fixtures.cluster_view import Cluster
from fixtures.ledger import wait_for
from fixtures.ledger_moves import messages
from fixtures.processes import RunOperator
from fixtures.proxy import MakeProxy, TcpProxy
from fixtures.waiting import eventually
from fixtures.worker_by_hand import StartWorker

pytestmark = pytest.mark.integration

FLOW = {"nodes": [{"id": "a", "type": "Text", "inputs": {"value": "hello"}}, {"id": "b", "type": "Text"}]}


@pytest.fixture
def way(control_plane: ControlPlane, make_proxy: MakeProxy, tmp_path: Path) -> tuple[TcpProxy, Path]:
    """A way to the API server that can be cut, and the kubeconfig that leads there by it."""
    config = yaml.safe_load(control_plane.kubeconfig.read_text(encoding="utf-8"))
    server: dict[str, Any] = config["clusters"][0]["cluster"]
    url = urlsplit(server["server"])
    proxy = make_proxy(url.port or 443)
    server["server"] = f"https://{url.hostname}:{proxy.port}"
    path = tmp_path / "by-the-proxy"
    path.write_text(yaml.safe_dump(config), encoding="utf-8")
    return proxy, path


def patch(cluster: Cluster, name: str, **spec: Any) -> None:
    cluster.kubectl("patch", "cgx", name, "--type=merge", "-p", json.dumps({"spec": spec}))


async def test_who_is_cut_off_from_the_api_server_repeats_no_step(
    cluster: Cluster,
    run_operator: RunOperator,
    start_worker: StartWorker,
    ledger: Ledger,
    way: tuple[TcpProxy, Path],
) -> None:
    worker = await start_worker()
    proxy, kubeconfig = way
    cut_off = run_operator(KUBECONFIG=str(kubeconfig))
    execution = execution_id(cluster.apply("Execution", "session", {"flow": FLOW, "paused": False}))
    claimed = await worker.claim(execution)
    patch(cluster, "session", paused=True, step="0")
    row = await wait_for(ledger, execution, lambda row: row.step_token == "0")
    await worker.pause(claimed, reason="spec.paused was set")
    await cluster.condition("Execution", "session", "Paused", status="True")
    proxy.cut()
    other = run_operator()
    patch(cluster, "session", step="1")
    await wait_for(ledger, execution, lambda each: each.step_token == "1" and each.control_seq > row.control_seq)

    async def tried() -> bool:
        return "reconciliation failed" in cut_off.log

    # It hears of the row's change, whose token is not the one that it knows.
    await eventually(tried, what="an attempt of the one that is cut off")
    proxy.restore()
    other.terminate()
    patch(cluster, "session", step="2")
    await wait_for(ledger, execution, lambda each: each.step_token == "2")
    sent = [each for _, _, said in await messages(ledger, execution) for each in said["commands"]]
    assert [each["token"] for each in sent if each["kind"] == "STEP"] == ["0", "1", "2"]
