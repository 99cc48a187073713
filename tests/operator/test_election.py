"""The election's decisions, and candidates against a real API server."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kubernetes.aio import config as untyped_config
from kubernetes.aio.client import Configuration

from chaingraph_operator.errors import NoLeaseNamespace
from chaingraph_operator.leader.election import Election, ElectionMove, ObservedLease, Times, look, next_move
from chaingraph_operator.leader.election_thread import ElectionThread
from chaingraph_operator.leader.leadership import lease_namespace
from chaingraph_operator.settings import Settings
from chaingraph_runtime.cluster_access import ClusterAccess
from fixtures.cluster.control_plane import ControlPlane, Kubectl
from fixtures.processes.cut_off import Way

QUICK = Times(duration=2, deadline=1.0, retry=0.1)


def lease(version: str = "1", holder: str | None = "other", duration: int = 15) -> dict[str, Any]:
    spec = {"leaseDurationSeconds": duration} | ({"holderIdentity": holder} if holder is not None else {})
    return {"metadata": {"resourceVersion": version}, "spec": spec}


def test_lease_age_counts_from_its_last_seen_change() -> None:
    first = look(None, lease("1"), now=100)
    assert first == ObservedLease("1", "other", 15.0, 100)
    assert look(first, lease("1"), now=110) is first
    assert look(first, lease("2"), now=110).since == 110


@pytest.mark.parametrize(
    ("holder", "age", "move"),
    [
        ("other", 14.9, ElectionMove.WAIT),
        ("other", 15.1, ElectionMove.TAKE),
        ("", 0, ElectionMove.TAKE),
        (None, 0, ElectionMove.TAKE),
        ("me", 0, ElectionMove.TAKE),
    ],
)
def test_lease_is_taken_when_free_or_not_renewed_in_time(holder: str | None, age: float, move: ElectionMove) -> None:
    seen = look(None, lease(holder=holder), now=100)
    assert next_move(seen, identity="me", now=100 + age) is move


def test_a_lease_without_a_spec_is_free() -> None:
    assert (
        next_move(look(None, {"metadata": {"resourceVersion": "1"}}, now=0), identity="me", now=0) is ElectionMove.TAKE
    )


@given(renewals=st.lists(st.floats(0.1, 14.9), max_size=20))
def test_a_holder_that_renews_in_time_is_never_dispossessed(renewals: list[float]) -> None:
    now = 0.0
    seen = look(None, lease("0"), now=now)
    for number, pause in enumerate(renewals, start=1):
        now += pause
        assert next_move(seen, identity="me", now=now) is ElectionMove.WAIT
        seen = look(seen, lease(str(number)), now=now)


def settings(**changes: Any) -> Settings:
    return Settings(**({"database_url": "postgresql:///x", "pod_name": "op"} | changes))


def test_lease_namespace_is_the_configured_or_the_pods(tmp_path: Path) -> None:
    pod = tmp_path / "namespace"
    with pytest.raises(NoLeaseNamespace, match="CHAINGRAPH_LEASE_NAMESPACE is empty"):
        lease_namespace(settings(), of_pod=pod)
    pod.write_text("chaingraph-system\n")
    assert lease_namespace(settings(), of_pod=pod) == "chaingraph-system"
    assert lease_namespace(settings(lease_namespace="ops"), of_pod=pod) == "ops"


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"lease_deadline_seconds": 15}, "CHAINGRAPH_LEASE_RENEW_SECONDS is 15, which is not less than"),
        ({"lease_retry_seconds": 6}, "CHAINGRAPH_LEASE_RETRY_SECONDS is 6, which is more than half"),
    ],
)
def test_settings_reject_lease_times_that_let_two_lead(wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        settings(**wrong)


class Lost(Exception):
    """Stands for the end of the process, which the test outlives."""


def lost(reason: str) -> NoReturn:
    raise Lost(reason)


Candidate = Callable[[str], Election]


async def access_by(kubeconfig: Path) -> ClusterAccess:
    configuration = Configuration()
    config: Any = untyped_config
    await config.load_kube_config(config_file=str(kubeconfig), client_configuration=configuration)
    return ClusterAccess(configuration)


@pytest.fixture
async def access(control_plane: ControlPlane) -> ClusterAccess:
    return await access_by(control_plane.kubeconfig)


@pytest.fixture
async def candidate(access: ClusterAccess, namespace: str) -> AsyncIterator[Candidate]:
    made: list[Election] = []

    def make(identity: str) -> Election:
        election = Election(access, namespace=namespace, name="operator", identity=identity, times=QUICK, lost=lost)
        made.append(election)
        return election

    yield make
    for each in made:
        await each.release()
        await each.close()


@asynccontextmanager
async def keeping(election: Election) -> AsyncIterator[asyncio.Task[None]]:
    task = asyncio.create_task(election.keep())
    try:
        yield task
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError, Lost):
            await task


def spec_of(kubectl: Kubectl, namespace: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(kubectl("-n", namespace, "get", "lease", "operator", "-o", "json").stdout)
    return dict(found["spec"])


@pytest.mark.integration
async def test_standby_takes_over_at_once_when_the_lease_is_released(
    candidate: Candidate, kubectl: Kubectl, namespace: str
) -> None:
    first, second = candidate("one"), candidate("two")
    await first.acquire(lambda _: None)
    followed: list[str] = []
    waiting = asyncio.create_task(second.acquire(followed.append))
    async with keeping(first):
        await asyncio.sleep(QUICK.duration * 1.5)
        assert (first.leads, second.leads, followed) == (True, False, ["one"])
    before = spec_of(kubectl, namespace)
    assert before["renewTime"] > before["acquireTime"]
    await first.release()
    await asyncio.wait_for(waiting, 1)
    after = spec_of(kubectl, namespace)
    assert (after["holderIdentity"], after["leaseDurationSeconds"], after["leaseTransitions"]) == ("two", 2, 1)


@pytest.mark.integration
async def test_unrenewed_lease_is_taken_after_its_duration(candidate: Candidate) -> None:
    first, second = candidate("one"), candidate("two")
    await first.acquire(lambda _: None)
    began = asyncio.get_running_loop().time()
    await second.acquire(lambda _: None)
    assert asyncio.get_running_loop().time() - began >= QUICK.duration
    async with keeping(first) as task:
        with pytest.raises(Lost, match="two holds the Lease"):
            await task


@pytest.mark.integration
async def test_only_one_of_many_simultaneous_candidates_leads(candidate: Candidate) -> None:
    candidates = [candidate(f"c{number}") for number in range(8)]
    tasks = [asyncio.create_task(each.acquire(lambda _: None)) for each in candidates]
    await asyncio.sleep(QUICK.duration / 2)
    assert sum(each.leads for each in candidates) == 1
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


@pytest.mark.integration
async def test_leader_survives_deletion_or_labelling_of_its_lease(
    candidate: Candidate, kubectl: Kubectl, namespace: str
) -> None:
    leader = candidate("one")
    await leader.acquire(lambda _: None)
    async with keeping(leader) as task:
        kubectl("-n", namespace, "label", "lease", "operator", "seen=by-a-person")
        await asyncio.sleep(QUICK.retry * 5)
        kubectl("-n", namespace, "delete", "lease", "operator")
        await asyncio.sleep(QUICK.retry * 5)
        assert not task.done()
    assert spec_of(kubectl, namespace)["holderIdentity"] == "one"


@pytest.mark.integration
@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
async def test_leader_unable_to_renew_exits_before_lease_expiry(namespace: str, way: Way) -> None:
    proxy, kubeconfig = way
    reasons: list[str] = []
    gone = asyncio.Event()
    loop = asyncio.get_running_loop()

    def ends(reason: str) -> NoReturn:
        reasons.append(reason)
        loop.call_soon_threadsafe(gone.set)
        raise SystemExit

    def make(access: ClusterAccess) -> Election:
        return Election(access, namespace=namespace, name="operator", identity="one", times=QUICK, lost=ends)

    leader = ElectionThread(make, hung=60, access=partial(access_by, kubeconfig), lost=ends)
    await leader.acquire(lambda _: None)
    keeping = asyncio.create_task(leader.keep())
    proxy.cut()
    await asyncio.wait_for(gone.wait(), QUICK.duration)
    assert "could not be renewed for" in reasons[0]
    with pytest.raises(SystemExit):
        leader.check()
    keeping.cancel()
    with suppress(asyncio.CancelledError):
        await leader.close()
