"""Threat: a Flow whose check takes more time or memory than the operator has. The kernel ends it, and others go on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

import orjson
import pytest

from chaingraph_crds.flow import FlowSpec
from chaingraph_flow.registry import Registry
from chaingraph_operator.validation.checks import SMALL, FlowChecks, Result, ValidationBudget
from chaingraph_operator.validation.process import Checked, Checker, CheckServer, CheckServerLost, Exceeded

CATALOGUE = Registry.discover().catalogue
TYPES = orjson.dumps(CATALOGUE.to_json())
MEMORY = 160 * 1024 * 1024
SOON = 60.0
"""Seconds after which a test is hung, however busy the machine is."""


def merges(keys: int = 30_000, nodes: int = 300, mark: str = "") -> dict[str, Any]:
    """A chain of objects, each with all the properties of the one before: 10 s to check, and a gigabyte."""
    inputs = {"value": {f"key{mark}{index}": index for index in range(keys)}}
    edges = [{"from": f"m{index}.result", "to": f"m{index + 1}.a"} for index in range(nodes)]
    edges += [{"from": "o.value", "to": f"m{index}.b"} for index in range(nodes + 1)]
    return {
        "nodes": [{"id": "o", "type": "Object", "inputs": inputs}]
        + [{"id": f"m{index}", "type": "Merge"} for index in range(nodes + 1)],
        "edges": [{"from": "o.value", "to": "m0.a"}, *edges],
    }


def large(mark: str) -> dict[str, Any]:
    """Too large to be checked in the operator's own process, and quick."""
    return {"nodes": [{"id": "a", "type": "Text", "inputs": {"value": mark * SMALL}}]}


def text(spec: dict[str, Any]) -> bytes:
    return orjson.dumps(spec, option=orjson.OPT_SORT_KEYS)


def right(found: Result) -> bool:
    return isinstance(found, Checked) and not found.errors


@pytest.fixture
async def server() -> AsyncIterator[CheckServer]:
    made = CheckServer()
    yield made
    made.close()


async def test_check_beyond_its_cpu_time_is_ended_by_the_kernel(server: CheckServer) -> None:
    checker = Checker(server, memory=2 * 1024**3)
    assert await checker.check(text(merges()), TYPES, cpu=0.3, wall=SOON) is Exceeded.CPU
    assert right(await checker.check(text(large("x")), TYPES, cpu=2, wall=SOON))


async def test_check_beyond_its_memory_is_ended(server: CheckServer) -> None:
    checker = Checker(server, memory=MEMORY * 2 // 3)
    assert await checker.check(text(merges(60_000)), TYPES, cpu=SOON, wall=SOON) is Exceeded.MEMORY
    assert right(await checker.check(text(large("x")), TYPES, cpu=2, wall=SOON))


async def test_check_that_gets_no_cpu_time_is_ended(server: CheckServer) -> None:
    checker = Checker(server, memory=2 * 1024**3)
    assert await checker.check(text(merges()), TYPES, cpu=SOON, wall=0.1) is Exceeded.TIME
    assert right(await checker.check(text(large("x")), TYPES, cpu=2, wall=SOON))


async def test_lost_server_is_started_again(server: CheckServer) -> None:
    checker = Checker(server, memory=MEMORY)
    assert right(await checker.check(text(large("x")), TYPES, cpu=2, wall=SOON))
    server.close()
    with suppress(CheckServerLost):
        assert await checker.check(text(large("y")), TYPES, cpu=2, wall=SOON) is Exceeded.CRASH
    assert right(await checker.check(text(large("y")), TYPES, cpu=2, wall=SOON))


async def test_largest_flow_the_api_takes_is_within_the_budget(server: CheckServer) -> None:
    value = {f"key{index}": ["some text", index, {"a": True}] for index in range(20_000)}
    nodes = [{"id": f"n{index}", "type": "Text", "inputs": {"value": "x" * 500}} for index in range(498)]
    nodes += [{"id": "o", "type": "Object", "inputs": {"value": value}}, {"id": "t", "type": "Object"}]
    edges = [{"from": f"n{index % 498}.value", "to": f"t.value.k{index}"} for index in range(2000)]
    spec = text({"nodes": nodes, "edges": edges})
    assert 1_000_000 < len(spec) < 1_500_000
    found = await Checker(server, memory=MEMORY).check(spec, TYPES, cpu=2, wall=SOON)
    assert right(found)


@pytest.fixture
async def checks() -> AsyncIterator[FlowChecks]:
    made = FlowChecks(ValidationBudget(cpu_seconds=0.5, memory_megabytes=2048))
    made.use(CATALOGUE)
    running = asyncio.create_task(made.run())
    yield made
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running


async def found(checks: FlowChecks, namespace: str, spec: dict[str, Any]) -> Result:
    known = asyncio.Event()
    async with asyncio.timeout(SOON):
        while True:
            result = checks.find(namespace, text(spec), FlowSpec.model_validate(spec), known.set)
            if result is not None:
                return result
            await known.wait()


async def test_quick_flows_of_others_do_not_wait_for_costly_ones(checks: FlowChecks) -> None:
    hostile = [asyncio.create_task(found(checks, "hostile", merges(mark=str(number)))) for number in range(8)]
    await asyncio.sleep(0)
    honest = [asyncio.create_task(found(checks, "honest", large(mark))) for mark in "abc"]
    assert all(map(right, await asyncio.gather(*honest)))
    assert sum(each.done() for each in hostile) <= 3
    for each in hostile:
        each.cancel()


async def test_too_complex_flow_is_checked_once_for_its_content(checks: FlowChecks) -> None:
    spec = merges()
    assert await found(checks, "a", spec) is Exceeded.CPU
    assert checks.find("b", text(spec), FlowSpec.model_validate(spec), lambda: None) is Exceeded.CPU
    assert "takes more than 0.5 s of CPU time (CHAINGRAPH_FLOW_CHECK_CPU_SECONDS)" in checks.budget.exceeded(
        Exceeded.CPU
    )


async def test_small_flow_is_checked_at_once() -> None:
    checks = FlowChecks()
    checks.use(CATALOGUE)
    spec: dict[str, Any] = {"nodes": [{"id": "a", "type": "Text"}]}
    assert isinstance(checks.find("a", text(spec), FlowSpec.model_validate(spec), lambda: None), Checked)
    pattern = {"type": "string", "pattern": "a"}
    spec = {"nodes": [{"id": "a", "type": "Cast", "inputs": {"value": "a", "schema": pattern}}]}
    assert checks.find("a", text(spec), FlowSpec.model_validate(spec), lambda: None) is None
