"""Threat: an object that no decoder of ours takes. It is cut, counted and told of; the list and the watch go on."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any, cast

import aiohttp
import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from chaingraph_crds.execution_status import ExecutionStatus
from chaingraph_crds.flow import FlowStatus
from chaingraph_operator.decide import status_events
from chaingraph_operator.kube.api import KubernetesApi
from chaingraph_operator.kube.cache import ObjectCache
from chaingraph_operator.kube.keys import Key
from chaingraph_operator.kube.reading import ObjectInbox, responses
from chaingraph_operator.kube.work_queue import WorkQueue
from chaingraph_operator.reconcile.triggers import ExecutionTriggers
from chaingraph_operator.reconcile.ttl import expiry
from chaingraph_runtime import objects
from chaingraph_runtime.cluster_access import ClusterAccess
from chaingraph_runtime.objects import TOO_DEEP, UNREADABLE

LISTS, MAPS = (b"[", b"]"), (b'{"a":', b"}")


def nested(levels: int, brackets: tuple[bytes, bytes] = LISTS) -> bytes:
    return brackets[0] * levels + b"1" + brackets[1] * levels


def text(name: str, value: bytes, *, uid: str = "u", where: str = "spec") -> bytes:
    """An object as the API server sends it, with a value somewhere in it; what managedFields say of it as well."""
    metadata = b'{"annotations":{"a":"b"},"generation":2,"managedFields":[{"fieldsV1":%b}],"name":"%b","namespace":"n"'
    metadata = metadata % (value if value.startswith(b"{") else b"{}", name.encode())
    metadata += b',"resourceVersion":"7","uid":"%b"}' % uid.encode()
    parts = {"spec": b'{"inputs":{"x":1}}', "status": b'{"phase":"Running"}', where: b'{"inputs":{"x":%b}}' % value}
    return b'{"apiVersion":"v","kind":"Execution","metadata":%b,"spec":%b,"status":%b}' % (
        metadata,
        parts["spec"],
        parts["status"],
    )


@pytest.mark.parametrize("brackets", [LISTS, MAPS], ids=["lists", "objects"])
@pytest.mark.parametrize("levels", [109, 250, 255, 1100, 5000, 100_000])
def test_deep_spec_is_cut_out_and_the_rest_is_kept(levels: int, brackets: tuple[bytes, bytes]) -> None:
    found = objects.read(text("deep", nested(levels, brackets)))
    assert found[UNREADABLE] == TOO_DEEP
    assert found["spec"] == {}
    assert found["status"] == {"phase": "Running"}
    assert objects.identity(found) == ("n", "deep", "u")
    assert (found["metadata"]["generation"], found["metadata"]["annotations"]) == (2, {"a": "b"})


def test_values_of_a_hundred_levels_are_read() -> None:
    found = objects.read(text("deep", nested(100)))
    assert UNREADABLE not in found
    assert found["spec"]["inputs"]["x"][0]


def test_deep_status_is_cut_out_alone() -> None:
    found = objects.read(text("odd", nested(5000), where="status"))
    assert (found["status"], found["spec"], UNREADABLE in found) == ({}, {"inputs": {"x": 1}}, False)


@pytest.mark.parametrize("value", [rb'"\ud800"', b"1e999", b"9" * 5000, b'"\xff"', b"NaN"])
def test_odd_values_are_read_or_cut_out(value: bytes) -> None:
    found = objects.read(text("odd", value))
    assert objects.identity(found) == ("n", "odd", "u")
    assert found["spec"] == {} if UNREADABLE in found else found["spec"]["inputs"].keys() == {"x"}


def test_list_goes_on_behind_each_of_its_objects() -> None:
    items = [text("a", b"1"), text("b", nested(3000)), b"7", b"{}", text("c", rb'"]}\ud800"'), text("d", b'"\\"}"')]
    page = (
        b'{"apiVersion":"v","items":[%b],"kind":"ExecutionList","metadata":{"continue":"more","resourceVersion":"9"}}'
    )
    head, found = objects.read_list(page % b",".join(items))
    assert (head["kind"], head["metadata"]) == ("ExecutionList", {"continue": "more", "resourceVersion": "9"})
    assert [each["metadata"].get("name") for each in found] == ["a", "b", None, "c", "d"]


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=20,
)


@given(st.dictionaries(st.sampled_from(["metadata", "spec", "status", "kind", "x"]), json_values))
def test_any_object_has_the_shape_that_is_relied_on(body: dict[str, Any]) -> None:
    found = objects.read(json.dumps(body).encode())
    assert isinstance(found["metadata"], dict)
    assert isinstance(found.get("spec") or {}, dict)
    assert isinstance(found.get("status") or {}, dict)
    identity = {"namespace": "n", "name": "x", "uid": "u"}
    cache = ObjectCache()
    cache.observe(found | {"metadata": found["metadata"] | identity})
    assert cache.get(Key("n", "x", "u")) is not None


@given(st.lists(st.integers(0, 400), max_size=6))
def test_members_are_those_of_a_decoder(depths: list[int]) -> None:
    parts = {f'k"{index}\\': nested(depth, MAPS if index % 2 else LISTS) for index, depth in enumerate(depths)}
    whole = b"{%b}" % b" , ".join(json.dumps(name).encode() + b" : " + value for name, value in parts.items())
    assert objects.parts_of(whole) == parts


STATUSES = st.dictionaries(
    st.sampled_from(
        ["phase", "conditions", "executionID", "attempt", "completionTime", "children", "observedGeneration", "nodes"]
    ),
    json_values | st.sampled_from(["Completed", "Running", "2026-11-30T17:00:00Z"]),
)


@given(STATUSES, STATUSES)
def test_status_that_does_not_fit_counts_field_by_field(before: dict[str, Any], after: dict[str, Any]) -> None:
    ExecutionStatus.fitting(before)
    FlowStatus.fitting(before)
    expiry({"ttlSecondsAfterFinished": 1}, before)
    status_events.of_flow(
        before,
        {
            "conditions": [
                {"type": "Ready", "status": "False", "reason": "x", "message": "y", "lastTransitionTime": "now"}
            ]
        },
    )
    shown = ExecutionStatus(execution_id="EX" + "A" * 24, attempt=1, observed_generation=1).manifest()
    status_events.of_execution(before, shown)


def test_fitting_fields_of_a_status_are_kept() -> None:
    found = ExecutionStatus.fitting(
        {"phase": "Nonsense", "executionID": "EX" + "A" * 24, "conditions": {"type": "Ready"}}
    )
    assert (found.phase, found.execution_id, found.conditions) == (None, "EX" + "A" * 24, [])


class Server:
    """Answers as the API server would, with lines and pages that it was given."""

    def __init__(self) -> None:
        self.page = b""
        self.lines: list[bytes] = []

    async def answer(self, request: web.Request) -> web.StreamResponse:
        if "watch" not in request.query:
            return web.Response(body=self.page, content_type="application/json")
        response = web.StreamResponse()
        await response.prepare(request)
        for line in self.lines:
            await response.write(line + b"\n")
        return response


class Access:
    """Access to that server."""

    def __init__(self, server: str) -> None:
        self.server = server

    async def headers(self) -> dict[str, str]:
        return {}

    def session(self, **_: Any) -> aiohttp.ClientSession:
        return aiohttp.ClientSession()


@pytest.fixture
async def server() -> AsyncIterator[tuple[Server, str]]:
    made = Server()
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", made.answer)
    runner = web.AppRunner(application)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    yield made, f"http://127.0.0.1:{runner.addresses[0][1]}"
    await runner.cleanup()


async def test_kopf_sees_identities_and_the_handler_gets_objects(server: tuple[Server, str]) -> None:
    made, address = server
    lost: list[str] = []
    inbox = ObjectInbox(lost=lost.append)
    kind = responses(inbox, frozenset({"executions"}))
    events = [
        b'{"type":"ADDED","object":%b}' % text("a", b"1"),
        b'{"type":"MODIFIED","object":%b}' % text("b", nested(5000, MAPS)),
        b'{"type":"ADDED","object":{"metadata":{"name":"without uid","namespace":"n"},"spec":{}}}',
        b"no JSON at all",
        b"[]",
        b'{"type":"BOOKMARK","object":{"metadata":{"resourceVersion":"8"}}}',
        b'{"type":"DELETED","object":%b}' % text("c", b'"' + b"x" * 200_000 + b'"'),
        b'{"type":"ERROR","object":{"code":410}}',
    ]
    made.lines = events
    made.page = (
        b'{"items":[%b,{"metadata":{"name":"x"}}],"kind":"ExecutionList","metadata":{"resourceVersion":"9"}}'
        % (text("b", nested(5000)))
    )
    async with aiohttp.ClientSession(response_class=kind) as session:
        response = await session.get(f"{address}/apis/g/v1/executions?watch=true")
        lines = b"".join([chunk async for chunk in response.content.iter_chunked(1000)]).splitlines()
        page = await (await session.get(f"{address}/apis/g/v1/executions")).json()
    seen = [json.loads(line) for line in lines]
    assert [each["type"] for each in seen] == ["ADDED", "MODIFIED", "BOOKMARK", "DELETED", "ERROR"]
    assert seen[4]["object"]["code"] == 410
    bodies = [inbox.take(seen[index]["object"]) for index in (0, 1, 3)]
    assert [each and each["metadata"]["name"] for each in bodies] == ["a", "b", "c"]
    assert [each and each.get(UNREADABLE) for each in bodies] == [None, TOO_DEEP, None]
    assert inbox.take(seen[0]["object"]) is None, "taken once"
    [item] = page["items"]
    assert item["metadata"] == {"namespace": "n", "name": "b", "uid": "u", "resourceVersion": "7"}
    assert page["metadata"]["resourceVersion"] == "9"
    assert lost == ["executions"] * 4


async def test_listing_of_names_survives_odd_objects(server: tuple[Server, str]) -> None:
    made, address = server
    items = [text("a", nested(2000, MAPS)), b'{"metadata":{"name":"no uid","namespace":"n"}}', b"{}", text("z", b"1")]
    made.page = b'{"items":[%b],"metadata":{}}' % b",".join(items)
    api = KubernetesApi(cast("ClusterAccess", Access(address)), connections=1, may_write=lambda: None)
    try:
        found = [key async for key in api.list_keys("executions", None)]
        patched = await api.patch_status("executions", Key("n", "a", "u"), {})
    finally:
        await api.close()
    assert found == [Key("n", "a", "u"), Key("n", "no uid", ""), Key("n", "z", "u")]
    assert patched["metadata"] == {}


def test_unreadable_object_is_reconciled_and_can_go() -> None:
    queue: WorkQueue[Key] = WorkQueue()
    triggers = ExecutionTriggers(queue)
    body = objects.read(text("deep", nested(5000)))
    triggers.observed(body)
    cached = triggers.cache.get(Key("n", "deep", "u"))
    assert cached is not None
    assert cached.unreadable == TOO_DEEP
    assert queue.depth == 1
    triggers.deleted(objects.read(text("deep", nested(5000))))
    cached = triggers.cache.get(Key("n", "deep", "u"))
    assert cached is not None
    assert cached.gone
