"""Whoever loses the right to read stops reading: by requests within seconds, by open streams within a turn."""

from __future__ import annotations

import pytest

from chaingraph_store.ids import execution_id
from fixtures.ledger.written_log import Written
from fixtures.processes.gateway import LOG_READER, READER, People, Person, RunGateway
from fixtures.waiting import eventually

pytestmark = pytest.mark.integration

SOON = {"CHAINGRAPH_REAUTHORIZE_SECONDS": "0.5", "CHAINGRAPH_TOKEN_CACHE_SECONDS": "0.2"}


async def test_deleted_account_loses_its_stream(run_gateway: RunGateway, people: People, written: Written) -> None:
    gateway = run_gateway(**SOON)
    log = await written.execution()
    path = f"/executions/{log.id}/events"
    reader = people.service_account("reader", LOG_READER)
    async with (
        gateway.follow(path, reader) as stream,
        gateway.follow(path, people.admin) as of_another,
    ):
        assert [(await anext(stream)).event for _ in range(2)] == ["", "execution:created"]
        assert [(await anext(of_another)).event for _ in range(2)] == ["", "execution:created"]
        people.kubectl("-n", people.namespace, "delete", "serviceaccount", "reader")
        rest = [each async for each in stream]
        assert [each.event for each in rest] == [""]
        assert rest[-1].comment.startswith("401 Unauthenticated: the API server does not accept the token")
        # Nobody else notices, and new requests are refused.
        await log.append("flow:started")
        assert (await anext(of_another)).event == "flow:started"
    assert (await gateway.ask(path, reader)).status_code == 401
    assert gateway.metric("chaingraph_gateway_streams_refused_total") == 1


async def test_withdrawn_role_ends_the_stream(run_gateway: RunGateway, people: People, written: Written) -> None:
    gateway = run_gateway(**SOON)
    log = await written.execution()
    path = f"/namespaces/{people.namespace}/executions/nightly/events"
    reader = people.service_account("reader", LOG_READER)
    async with gateway.follow(path, reader) as stream:
        assert [(await anext(stream)).event for _ in range(2)] == ["", "execution:created"]
        # A right to something else is none to this.
        people.grant("reader", {"kind": "ServiceAccount", "name": "reader", "namespace": people.namespace}, READER)
        rest = [each async for each in stream]
        assert [each.event for each in rest] == [""]
        assert rest[-1].comment.startswith("403 Forbidden: ")
    assert (await gateway.ask(f"/executions/{log.id}/events", reader)).status_code == 403


async def test_removed_execution_ends_the_stream(run_gateway: RunGateway, people: People, written: Written) -> None:
    gateway = run_gateway(**SOON)
    log = await written.execution()
    async with gateway.follow(f"/executions/{log.id}/events", people.admin) as stream:
        assert [(await anext(stream)).event for _ in range(2)] == ["", "execution:created"]
        async with log.ledger.transaction() as connection:
            await connection.execute("DELETE FROM chaingraph.executions WHERE id = %s", (log.id,))
        assert [each.event async for each in stream] == [""]


async def test_one_user_cannot_take_all_streams(run_gateway: RunGateway, people: People, written: Written) -> None:
    gateway = run_gateway(CHAINGRAPH_MAX_STREAMS="4")
    log = await written.execution()
    path = f"/executions/{log.id}/events"
    greedy = [people.service_account(name, LOG_READER) for name in ("one", "two")]
    async with (
        gateway.follow(path, greedy[0]) as a,
        gateway.follow(path, greedy[1]) as b,
        gateway.follow(path, greedy[1]) as c,
    ):
        for each in (a, b, c):
            await anext(each)
        refused = await gateway.ask(path, greedy[0])
        assert (refused.status_code, refused.json()["setting"]) == (503, "CHAINGRAPH_MAX_STREAMS")
        assert "reserved for callers without one" in refused.json()["message"]
        async with gateway.follow(path, people.admin) as stream:
            assert [(await anext(stream)).event for _ in range(2)] == ["", "execution:created"]


async def test_bound_token_is_taken_here_and_not_by_the_api_server(
    run_gateway: RunGateway, people: People, written: Written
) -> None:
    gateway, strict = run_gateway(), run_gateway(CHAINGRAPH_ACCEPT_API_TOKENS="false")
    log = await written.execution()
    path = f"/executions/{log.id}/events?follow=false"
    plain = people.service_account("reader", LOG_READER)

    def bound(audience: str) -> Person:
        made = people.kubectl("-n", people.namespace, "create", "token", "reader", f"--audience={audience}")
        return Person(made.stdout.strip())

    ours, other = bound("chaingraph-gateway"), bound("somebody-else")
    assert not people.accepted(ours)
    asked = [(await each.ask(path, who)).status_code for each in (gateway, strict) for who in (ours, plain, other)]
    assert asked == [200, 200, 401, 200, 401, 401]
    assert "--audience=chaingraph-gateway" in (await strict.ask(path, plain)).json()["message"]
    unknown = f"/executions/{execution_id('none')}"
    assert (await gateway.ask(unknown, ours)).status_code == 403


async def test_stream_of_a_certificate_is_asked_about_again(
    run_gateway: RunGateway, people: People, written: Written
) -> None:
    gateway = run_gateway(**SOON)
    log = await written.execution()
    jane = people.certified("jane")
    people.grant("jane", {"kind": "User", "name": "jane", "apiGroup": "rbac.authorization.k8s.io"}, LOG_READER)
    async with gateway.follow(f"/executions/{log.id}/events", jane) as stream:
        assert [(await anext(stream)).event for _ in range(2)] == ["", "execution:created"]

        async def asked_again() -> bool:
            figure = 'chaingraph_gateway_reviews_total{resource="subjectaccessreviews",result="answered"}'
            return gateway.metric(figure) >= 4

        await eventually(asked_again, what="rights to be asked for again")
        await log.append("flow:started")
        assert (await anext(stream)).event == "flow:started"
        people.kubectl("-n", people.namespace, "delete", "rolebinding", "jane")
        assert [each.comment[:13] async for each in stream] == ["403 Forbidden"]
