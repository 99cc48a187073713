"""One database, one cluster: an operator from elsewhere serves nothing, until it is told to take over."""

from __future__ import annotations

from pathlib import Path

import certifi
import pytest
from kubernetes.aio.client import Configuration

from chaingraph_runtime.cluster_access import ClusterAccess
from chaingraph_runtime.watchdog import LOST_EXIT
from chaingraph_store.ids import execution_id
from chaingraph_store.ledger import Ledger
from chaingraph_store.upkeep import cluster as clusters
from chaingraph_store.upkeep.cluster import ClusterIdentity
from fixtures.cluster.control_plane import ControlPlane, Kubectl
from fixtures.cluster.view import Cluster
from fixtures.ledger.ledger import row_of
from fixtures.ledger.new_executions import create
from fixtures.processes.programs import RunOperator
from fixtures.waiting import eventually

ELSEWHERE = ClusterIdentity("99999999-0000-4000-8000-000000000000", "sha256:elsewhere")


async def recorded(ledger: Ledger) -> ClusterIdentity:
    async with ledger.connection() as connection:
        cursor = await connection.execute("SELECT uid, authority FROM chaingraph.cluster")
        row = await cursor.fetchone()
    assert row is not None
    return ClusterIdentity(*row)


async def record(ledger: Ledger, identity: ClusterIdentity, *, adopt: str = "") -> None:
    async with ledger.transaction() as connection:
        await clusters.recognise(connection, identity, adopt=adopt)


@pytest.fixture
def uid(kubectl: Kubectl) -> str:
    """Of this cluster."""
    return kubectl("get", "namespace", "kube-system", "-o", "jsonpath={.metadata.uid}").stdout


@pytest.mark.integration
async def test_the_first_operator_records_its_cluster(
    cluster: Cluster, run_operator: RunOperator, ledger: Ledger, uid: str
) -> None:
    operator = run_operator()
    found = await recorded(ledger)
    assert found.uid == uid
    assert found.authority.startswith("sha256:")
    assert any(line.get("cluster_uid") == uid for line in operator.lines())
    assert operator.terminate() == 0
    run_operator()
    assert await recorded(ledger) == found


@pytest.mark.integration
async def test_foreign_operator_refuses_until_it_adopts_the_ledger(
    cluster: Cluster, run_operator: RunOperator, ledger: Ledger, uid: str
) -> None:
    await record(ledger, ELSEWHERE)
    theirs = await create(ledger, namespace=cluster.namespace)
    operator = run_operator(ready=False, CHAINGRAPH_SWEEP_SECONDS="1")

    async def refused() -> bool:
        return "belongs to another cluster" in operator.get("/readyz").text

    await eventually(refused, within=60, what="a refusal")
    answer = operator.get("/readyz")
    assert answer.status_code == 503
    for said in (ELSEWHERE.uid, uid, f"CHAINGRAPH_ADOPT_CLUSTER={ELSEWHERE.uid}", "DATABASE_URL_EXECUTIONS"):
        assert said in answer.text
        assert any(line["level"] == "error" and said in line.get("error", "") for line in operator.lines())
    assert operator.get("/healthz").status_code == 200
    assert (await row_of(ledger, theirs.id)).phase == "Pending"
    assert operator.terminate() == 0

    run_operator(CHAINGRAPH_SWEEP_SECONDS="1", CHAINGRAPH_ADOPT_CLUSTER=ELSEWHERE.uid)
    assert (await recorded(ledger)).uid == uid
    await cluster.row(theirs.uid, phase="Stopped")
    assert theirs.id == execution_id(theirs.uid)


@pytest.mark.integration
async def test_operator_exits_when_its_ledger_is_taken_over(
    cluster: Cluster, run_operator: RunOperator, ledger: Ledger, uid: str
) -> None:
    operator = run_operator(CHAINGRAPH_SWEEP_SECONDS="1")
    await record(ledger, ELSEWHERE, adopt=uid)
    theirs = await create(ledger, namespace=cluster.namespace)

    async def exited() -> bool:
        return operator.process.poll() is not None

    await eventually(exited, what="the end of the operator")
    assert operator.process.returncode == LOST_EXIT
    assert f"the ledger now belongs to another cluster: to {ELSEWHERE.uid}" in operator.log
    assert (await row_of(ledger, theirs.id)).phase == "Pending"


def access(**fields: str) -> ClusterAccess:
    configuration = Configuration()
    for name, value in fields.items():
        setattr(configuration, name, value)
    return ClusterAccess(configuration)


@pytest.mark.integration
def test_authority_ignores_certificate_order_and_format(control_plane: ControlPlane, tmp_path: Path) -> None:
    ours = control_plane.ca.read_text(encoding="utf-8")
    begin = "-----BEGIN CERTIFICATE-----"
    foreign = begin + Path(certifi.where()).read_text(encoding="utf-8").split(begin)[1]
    file = tmp_path / "ca.crt"
    file.write_text(f"# ours\n{ours}\n# theirs\n{foreign}", encoding="utf-8")
    both = access(ssl_ca_cert=str(file)).authority
    assert both == access(ca_cert_data=f"{foreign.strip()}\n{ours}{ours}").authority
    assert both.startswith("sha256:")
    assert len({both, access(ca_cert_data=ours).authority, access(ca_cert_data=foreign).authority}) == 3
    assert access().authority == "", "the system's own certificates tell nothing of a cluster"
