"""The maker of children's resources where the API server does not want them: it waits, gives way, and loses none.

What a healthy API server cannot be made to answer is answered here by a server of the test's own.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from itertools import pairwise
from typing import Any

import pytest
from aiohttp import web
from kubernetes.aio.client import Configuration

from chaingraph_operator.kube.api import KubernetesApi
from chaingraph_operator.kube.events import KubernetesEvent
from chaingraph_operator.kube.keys import Key
from chaingraph_operator.kube.work_queue import WorkQueue
from chaingraph_operator.metrics import Metrics
from chaingraph_operator.reconcile.child_resources import ChildResources
from chaingraph_operator.reconcile.triggers import ExecutionTriggers
from chaingraph_runtime.cluster_access import ClusterAccess
from chaingraph_store.children import child_rows
from chaingraph_store.ids import ExecutionId, child_execution_id
from chaingraph_store.ledger import Ledger
from fixtures.ledger.ledger import row_of, wait_for
from fixtures.ledger.new_executions import create
from fixtures.trees.children import complete_and_spawn
from fixtures.waiting import eventually

pytestmark = pytest.mark.integration

Answer = Callable[[int, dict[str, Any]], web.Response | None]
"""Of the POST of that number, from 0; None for an API server's own answer."""


async def nothing() -> None:
    """What happens meanwhile, where a test wants nothing to."""


class Server:
    """Takes in what is created, once it wants to."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer
        self.meanwhile: Callable[[], Awaitable[None]] = nothing
        """What happens while an object is made."""
        self.objects: dict[str, dict[str, Any]] = {}
        self.posts: list[tuple[float, str]] = []
        self.deleted: list[str] = []

    def has(self, name: str, uid: str | None) -> None:
        self.objects[name] = {"metadata": {"namespace": "team", "name": name, "uid": uid}, "spec": {}}

    async def post(self, request: web.Request) -> web.Response:
        body = await request.json()
        name = body["metadata"]["name"]
        number = len(self.posts)
        self.posts.append((time.monotonic(), name))
        given = self._answer(number, body)
        if given is not None:
            return given
        if name in self.objects:
            return refusal(409, "exists")
        body["metadata"] |= {"uid": str(uuid.uuid4()), "resourceVersion": str(100 + number), "generation": 1}
        self.objects[name] = body
        await self.meanwhile()
        return web.json_response(body, status=201)

    async def get(self, request: web.Request) -> web.Response:
        found = self.objects.get(request.match_info["name"])
        return refusal(404, "not found") if found is None else web.json_response(found)

    async def delete(self, request: web.Request) -> web.Response:
        self.deleted.append(request.match_info["name"])
        return web.json_response(self.objects.pop(request.match_info["name"]))


def refusal(status: int, message: str, **headers: str) -> web.Response:
    return web.json_response({"kind": "Status", "message": message}, status=status, headers=headers)


class Maker:
    """A maker, and what it said to people."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.begin: Callable[[], None] = lambda: None
        """It looks when it begins, and then every five seconds: so it begins once there is something to find."""
        self.announced: list[tuple[str, str]] = []
        self.metrics = Metrics()

    def announce(self, key: Key, announcement: KubernetesEvent) -> None:
        self.announced.append((key.name, announcement.reason))

    def count(self, result: str) -> float:
        return (
            self.metrics.registry.get_sample_value("chaingraph_operator_child_resources_total", {"result": result})
            or 0.0
        )


StartMaker = Callable[..., Awaitable[Maker]]


@asynccontextmanager
async def running(ledger: Ledger, server: Server, busy: Callable[[], bool]) -> AsyncIterator[Maker]:
    application = web.Application()
    path = "/apis/chaingraph.dev/v1alpha1/namespaces/team/executions"
    application.router.add_post(path, server.post)
    application.router.add_get(path + "/{name}", server.get)
    application.router.add_delete(path + "/{name}", server.delete)
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    configuration = Configuration()
    configuration.host = f"http://127.0.0.1:{runner.addresses[0][1]}"
    api = KubernetesApi(ClusterAccess(configuration), connections=8, may_write=lambda: None)
    maker = Maker(server)
    made = ChildResources(
        ledger=ledger,
        api=api,
        triggers=ExecutionTriggers(WorkQueue()),
        announce=maker.announce,
        namespaces=(),
        per_second=1000,
        busy=busy,
        metrics=maker.metrics,
    )
    running: list[asyncio.Task[None]] = []
    maker.begin = lambda: running.append(asyncio.create_task(made.run()))
    try:
        yield maker
    finally:
        for task in running:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
        await api.close()
        await runner.cleanup()


@pytest.fixture
async def start_maker(ledger: Ledger) -> AsyncIterator[StartMaker]:
    stack = []

    async def start(answer: Answer = lambda _, __: None, *, busy: Callable[[], bool] = lambda: False) -> Maker:
        context = running(ledger, Server(answer), busy)
        stack.append(context)
        return await context.__aenter__()

    yield start
    for each in stack:
        await each.__aexit__(None, None, None)


async def family(ledger: Ledger, maker: Maker, count: int, *, name: str = "nightly") -> list[ExecutionId]:
    parent = await create(ledger, name=name)
    maker.server.has(name, parent.uid)
    spawned = await complete_and_spawn(ledger, parent.id, count)
    maker.begin()
    return spawned


async def bound(ledger: Ledger, *children: ExecutionId, within: float = 30) -> None:
    for each in children:
        row = await wait_for(ledger, each, lambda row: row.uid is not None, within=within)
        assert row.uid is not None


@pytest.mark.long
async def test_maker_waits_for_retry_after_then_makes_every_resource(ledger: Ledger, start_maker: StartMaker) -> None:
    maker = await start_maker(
        lambda number, _: refusal(429, "too many requests", **{"Retry-After": "3"}) if number < 4 else None
    )
    await bound(ledger, *await family(ledger, maker, 20))
    times = [at for at, _ in maker.server.posts]
    pauses = [later - earlier for earlier, later in pairwise(times)]
    assert max(pauses) >= 2.9
    refused = pauses.index(max(pauses)) + 1
    assert refused <= 4, "those that were in flight, and none after them"
    assert (maker.count("created"), maker.count("error")) == (20, 4)
    assert maker.announced == []


async def test_maker_backs_off_while_the_api_server_is_away(ledger: Ledger, start_maker: StartMaker) -> None:
    maker = await start_maker(lambda number, _: refusal(503, "away") if number < 3 else None)
    [child] = await family(ledger, maker, 1)
    await bound(ledger, child)
    times = [at for at, _ in maker.server.posts]
    assert len(times) == 4
    assert times[1] - times[0] >= 0.9
    assert times[3] - times[2] >= 3.9


async def test_one_refused_child_does_not_delay_the_others(ledger: Ledger, start_maker: StartMaker) -> None:
    def answer(_: int, body: dict[str, Any]) -> web.Response | None:
        return refusal(422, "wrong") if body["metadata"]["name"] == "nightly-1" else None

    maker = await start_maker(answer)
    one, two, three = await family(ledger, maker, 3)
    await bound(ledger, one, three)
    assert (await row_of(ledger, two)).uid is None
    assert maker.announced == [("nightly", "ChildResourceRefused")]
    await asyncio.sleep(1)
    assert [name for _, name in maker.server.posts].count("nightly-1") == 1


async def test_maker_pauses_after_a_few_forbidden_attempts(ledger: Ledger, start_maker: StartMaker) -> None:
    maker = await start_maker(lambda _, __: refusal(403, "exceeded quota"))
    await family(ledger, maker, 50)

    async def refused() -> bool:
        return maker.count("refused") > 0

    await eventually(refused)
    await asyncio.sleep(1)
    assert len(maker.server.posts) <= 4
    assert set(maker.announced) == {("nightly", "ChildResourceRefused")}


async def test_maker_yields_to_status_writes_but_is_never_starved(ledger: Ledger, start_maker: StartMaker) -> None:
    maker = await start_maker(busy=lambda: True)
    started = time.monotonic()
    await bound(ledger, *await family(ledger, maker, 5))
    assert time.monotonic() - started >= 2, "four at once, each of which waits a second"


async def test_maker_deletes_a_resource_bound_elsewhere_meanwhile(ledger: Ledger, start_maker: StartMaker) -> None:
    maker = await start_maker()
    parent = await create(ledger)

    async def bind_another() -> None:
        async with ledger.connection() as connection:
            assert await child_rows.adopt(
                connection, child, parent=parent.id, uid="another", namespace="team", name="nightly-0"
            )

    maker.server.meanwhile = bind_another
    child = child_execution_id(parent.id, 0)
    maker.server.has("nightly", parent.uid)
    await complete_and_spawn(ledger, parent.id, 1)
    maker.begin()

    async def removed() -> bool:
        return maker.server.deleted == ["nightly-0"]

    await eventually(removed)
    assert (await row_of(ledger, child)).uid == "another"


async def test_maker_creates_nothing_below_a_replaced_parent(ledger: Ledger, start_maker: StartMaker) -> None:
    maker = await start_maker()
    parent = await create(ledger)
    maker.server.has("nightly", "another-uid")
    spawned = await complete_and_spawn(ledger, parent.id, 3)
    maker.begin()
    for each in spawned:
        await wait_for(ledger, each, lambda row: row.resources == "None")
    assert maker.server.posts == []
