"""Who is let in and what they may see, as the cluster's own RBAC says."""

from __future__ import annotations

import ssl
from pathlib import Path

import httpx
import pytest

from chaingraph_cli.cluster.access.certificates import Authority
from chaingraph_store.ids import execution_id
from fixtures.ledger.written_log import Written
from fixtures.processes.gateway import LOG_READER, READER, GatewayProcess, People, Person, RunGateway
from fixtures.waiting import eventually

pytestmark = pytest.mark.integration

UNKNOWN = execution_id("never-made")


async def status(gateway: GatewayProcess, path: str, person: Person | None) -> int:
    """The status of the answer; streams are not followed."""
    return (await gateway.ask(f"{path}?follow=false" if path.endswith("/events") else path, person)).status_code


async def test_service_account_tokens_follow_rbac(run_gateway: RunGateway, people: People, written: Written) -> None:
    gateway = run_gateway()
    log = await written.execution()
    reader, viewer = people.service_account("reader", LOG_READER), people.service_account("viewer", READER)
    one = f"/executions/{log.id}"
    # `executions` shows what the resource's status shows as well; what ran through it needs `executions/log`.
    for path, allowed, denied in (
        (f"{one}/events", reader, viewer),
        (f"{one}/journal", reader, viewer),
        (one, viewer, reader),
        (f"{one}/tree", viewer, reader),
        (f"/executions?namespace={people.namespace}", viewer, reader),
        (f"/namespaces/{people.namespace}/executions/nightly/events", reader, viewer),
    ):
        assert (await status(gateway, path, allowed), await status(gateway, path, denied)) == (200, 403), path
    assert await status(gateway, "/executions", viewer) == 403
    assert await status(gateway, "/executions", people.admin) == 200
    # A token is reviewed once and a right asked for once, as long as they are remembered.
    assert gateway.metric('chaingraph_gateway_reviews_total{resource="tokenreviews",result="answered"}') == 3


async def test_tree_requires_the_right_to_list(run_gateway: RunGateway, people: People, written: Written) -> None:
    gateway = run_gateway()
    log = await written.execution()
    getter = people.service_account("getter", {**READER, "verbs": ["get"]})
    assert await status(gateway, f"/executions/{log.id}", getter) == 200
    refused = await gateway.ask(f"/executions/{log.id}/tree", getter)
    assert refused.status_code == 403
    assert refused.json()["rule"]["verbs"] == ["list"]


async def test_a_refusal_names_the_rule_that_is_missing(
    run_gateway: RunGateway, people: People, written: Written
) -> None:
    gateway = run_gateway()
    await written.execution()
    nobody = people.service_account("nobody")
    path = f"/namespaces/{people.namespace}/executions/nightly/events"
    refused = (await gateway.ask(path, nobody)).json()
    user = f"system:serviceaccount:{people.namespace}:nobody"
    assert refused["user"] == user
    assert refused["rule"] == {"apiGroups": ["chaingraph.dev"], "resources": ["executions/log"], "verbs": ["get"]}
    assert f"{user} may not get executions/log in namespace '{people.namespace}'" in refused["message"]
    # The commands that it names give the right, which is noticed soon.
    for command in refused["message"].split("`")[1::2]:
        people.kubectl(*command.split()[1:])

    async def allowed() -> bool:
        return await status(gateway, path, nobody) == 200

    await eventually(allowed, what="the right that was given")


async def test_refusals_do_not_reveal_existing_executions(
    run_gateway: RunGateway, people: People, written: Written
) -> None:
    gateway = run_gateway()
    there = (await written.execution(namespace="elsewhere")).id
    person = people.service_account("reader", LOG_READER)
    answers = [await gateway.ask(f"/executions/{each}/events", person) for each in (there, UNKNOWN)]
    assert [each.status_code for each in answers] == [403, 403]
    assert answers[0].text.replace(there, "ID") == answers[1].text.replace(UNKNOWN, "ID")
    assert "elsewhere" not in answers[0].text
    by_name = [f"/namespaces/elsewhere/executions/{name}" for name in ("nightly", "never")]
    answers = [await gateway.ask(each, person) for each in by_name]
    assert [each.status_code for each in answers] == [403, 403]
    assert answers[0].text == answers[1].text
    # Who may see all may know.
    assert await status(gateway, f"/executions/{UNKNOWN}", people.admin) == 404
    assert await status(gateway, f"/namespaces/{people.namespace}/executions/never/events", person) == 404


async def test_client_certificates_follow_rbac_by_name_and_group(
    run_gateway: RunGateway, people: People, written: Written
) -> None:
    gateway = run_gateway()
    log = await written.execution()
    path = f"/executions/{log.id}/events"
    by_name, by_group = people.certified("jane"), people.certified("joe", "developers", "auditors")
    assert await status(gateway, path, people.certified("jim", "others")) == 403
    group = "rbac.authorization.k8s.io"
    people.grant("jane", {"kind": "User", "name": "jane", "apiGroup": group}, LOG_READER)
    people.grant("auditors", {"kind": "Group", "name": "auditors", "apiGroup": group}, LOG_READER)
    assert (await status(gateway, path, by_name), await status(gateway, path, by_group)) == (200, 200)
    stranger = people.certified("jane-of-elsewhere", authority=Authority("elsewhere"))
    with pytest.raises((httpx.TransportError, ssl.SSLError)):
        await status(gateway, path, stranger)


@pytest.mark.parametrize(
    ("header", "said"),
    [
        (None, "the request has no credentials"),
        ("Basic YTpi", "'Basic'"),
        ("Bearer", "without a token"),
        ("Bearer nonsense", "does not accept the token"),
        (b"Bearer \xff", "printable ASCII characters"),
        ("Bearer " + "x" * 20_000, "the token is longer than"),
    ],
)
async def test_unauthenticated_requests_are_rejected(
    run_gateway: RunGateway, header: str | bytes | None, said: str
) -> None:
    gateway = run_gateway()
    headers = {} if header is None else {"Authorization": header}
    for path in ("/executions", f"/executions/{UNKNOWN}/events"):
        refused = await gateway.ask(path, headers=headers)
        assert refused.status_code == 401
        assert refused.headers["WWW-Authenticate"].startswith("Bearer")
        assert said in refused.json()["message"]
        assert "kubectl create token" in refused.json()["message"]


async def test_the_documented_permissions_are_enough(
    run_gateway: RunGateway, people: People, written: Written, tmp_path: Path
) -> None:
    kubeconfig = people.kubeconfig_of("gateway", tmp_path)
    gateway = run_gateway(ready=False, KUBECONFIG=str(kubeconfig))
    log = await written.execution()
    reader = people.service_account("reader", LOG_READER)

    async def refused() -> bool:
        return gateway.get("/readyz").status_code == 200

    await eventually(refused, what="readiness")
    # Without its own rights it lets nobody in, and says whose rights are missing.
    answer = await gateway.ask(f"/executions/{log.id}", reader)
    assert answer.status_code == 503
    assert "bind the ClusterRole system:auth-delegator" in answer.json()["message"]
    assert "extension-apiserver-authentication-reader" in gateway.log
    account = f"--serviceaccount={people.namespace}:gateway"
    people.kubectl("create", "clusterrolebinding", people.namespace, "--clusterrole=system:auth-delegator", account)
    role = f"{people.namespace}-namespaces"
    people.kubectl("create", "clusterrole", role, "--verb=get", "--resource=namespaces")
    people.kubectl("create", "clusterrolebinding", role, f"--clusterrole={role}", account)
    people.kubectl(
        *("-n", "kube-system", "create", "rolebinding", people.namespace),
        *("--role=extension-apiserver-authentication-reader", account),
    )
    gateway.terminate()
    gateway = run_gateway(KUBECONFIG=str(kubeconfig))
    assert await status(gateway, f"/executions/{log.id}/events", reader) == 200
    assert "client certificates are accepted" in gateway.log
