"""PostgreSQL and the API server away: streams wait and go on, new requests are told, nothing is lost."""

from __future__ import annotations

import asyncio

import pytest

from fixtures.ledger.written_log import Written
from fixtures.processes.cut_off import Way
from fixtures.processes.gateway import People, RunGateway
from fixtures.processes.proxy import MakeProxy
from fixtures.waiting import eventually

pytestmark = pytest.mark.integration


async def test_a_stream_outlasts_an_outage_of_postgresql(
    run_gateway: RunGateway,
    people: People,
    written: Written,
    make_proxy: MakeProxy,
    database_url: str,
) -> None:
    proxy = make_proxy(database_url)
    gateway = run_gateway(DATABASE_URL_EXECUTIONS=proxy.url, CHAINGRAPH_HEARTBEAT_SECONDS="0.2")
    log = await written.execution()
    path = f"/executions/{log.id}/events"
    async with gateway.follow(path, people.admin) as stream:
        await log.append("flow:started")
        assert [(await anext(stream)).id for _ in range(3)] == ["", "-1", "0"]
        proxy.cut()

        async def refused() -> bool:
            return (await gateway.ask(path, people.admin)).status_code == 503

        await eventually(refused, what="503 for new requests")
        answer = await gateway.ask(path, people.admin)
        assert "PostgreSQL is unavailable" in answer.json()["message"]
        assert answer.headers["Retry-After"] == "1"
        assert gateway.get("/readyz").status_code == 503
        assert gateway.get("/healthz").status_code == 200
        # Written while the gateway hears nothing.
        await log.append("node:started", "node:completed")
        assert [(await anext(stream)).comment for _ in range(5)] == ["heartbeat"] * 5
        proxy.restore()
        gateway.wait_ready()
        await log.append("node:started")
        await log.complete()
        rest = [each async for each in stream if each.event]
    assert [each.id for each in rest] == ["1", "2", "3", "4", "4"]
    assert rest[-1].event == "end"


async def test_api_server_outage_rejects_only_new_users(
    run_gateway: RunGateway,
    people: People,
    written: Written,
    way: Way,
) -> None:
    proxy, kubeconfig = way
    gateway = run_gateway(KUBECONFIG=str(kubeconfig))
    log = await written.execution()
    path = f"/executions/{log.id}/events"
    async with gateway.follow(path, people.admin) as stream:
        assert [(await anext(stream)).id for _ in range(2)] == ["", "-1"]
        proxy.cut()
        # What is remembered goes on; whoever is new must wait.
        assert (await gateway.ask(path, people.admin, params={"follow": "false"})).status_code == 200
        token = people.service_account("late").headers
        late = await gateway.ask(path, headers=token)
        assert late.status_code == 503
        assert f"the API server {proxy.url} does not answer" in late.json()["message"]
        assert gateway.get("/readyz").status_code == 200
        await log.append("flow:started")
        assert (await anext(stream)).event == "flow:started"
        proxy.restore()
        assert (await gateway.ask(path, headers=token)).status_code == 403


async def test_many_streams_survive_postgresql_connection_loss(
    run_gateway: RunGateway,
    people: People,
    written: Written,
    make_proxy: MakeProxy,
    database_url: str,
) -> None:
    proxy = make_proxy(database_url)
    gateway = run_gateway(DATABASE_URL_EXECUTIONS=proxy.url)
    logs = [await written.execution(f"nightly-{number}") for number in range(4)]
    streams = [
        asyncio.create_task(gateway.all(f"/executions/{log.id}/events", people.admin)) for log in logs for _ in range(3)
    ]
    for round_ in range(40):
        if round_ in (10, 25):
            proxy.cut()
        if round_ in (13, 28):
            proxy.restore()
        for log in logs:
            await log.append("node:started", "node:completed")
        await asyncio.sleep(0.05)
        if round_ == 5:
            assert gateway.metric("chaingraph_gateway_streams") == len(streams)
    for log in logs:
        await log.complete()
    for found in await asyncio.gather(*streams):
        assert [each.id for each in found] == [*map(str, range(-1, 81)), "80"]
