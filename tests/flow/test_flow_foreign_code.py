"""A node is foreign code: whatever it raises, logs or is, the run ends with its failure and can be written down."""

from __future__ import annotations

import asyncio
import sys
import threading
import time
from collections.abc import Iterator
from typing import NoReturn

import orjson
import pytest

from chaingraph_crds.flow import FlowSpec
from chaingraph_flow import (
    Engine,
    EngineOptions,
    FlowOutcome,
    FlowResult,
    Graph,
    InvalidNodeClass,
    Node,
    NodeContext,
    NodeFailed,
    Registry,
    RunContext,
)
from fixtures.flows.runs import MemoryRecorder


class Silent(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no words")


class Outside(BaseException):
    pass


RAISED = [
    SystemExit(3),
    KeyboardInterrupt(),
    GeneratorExit(),
    StopIteration(),
    StopAsyncIteration(),
    Outside("x"),
    Silent(),
    OSError("caf\udce9.txt"),
    NodeFailed("a\x00b"),
    TimeoutError("its own"),
]


def run_of(cls: type[Node], *, timeout: float = 5) -> tuple[FlowResult, MemoryRecorder]:
    registry = Registry([cls])
    spec = FlowSpec.model_validate({"nodes": [{"id": "odd", "type": cls.__name__}]})
    recorder = MemoryRecorder()
    engine = Engine(
        Graph.build(spec, registry.catalogue),
        registry,
        context=RunContext("EX1"),
        recorder=recorder,
        options=EngineOptions(node_timeout_seconds=timeout, flow_timeout_seconds=20),
    )
    return asyncio.run(engine.run()), recorder


@pytest.mark.parametrize("error", RAISED, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("threaded", [False, True], ids=["async", "thread"])
def test_node_exception_of_any_type_fails_that_node(error: BaseException, threaded: bool) -> None:
    class Odd(Node):
        """Raises."""

        if threaded:

            def run(self, context: NodeContext) -> NoReturn:
                raise error

        else:

            async def run(self, context: NodeContext) -> NoReturn:  # type: ignore[misc]  # one of two
                raise error

    began = time.monotonic()
    result, recorder = run_of(Odd)
    assert time.monotonic() - began < 15, "long before the flow's own time limit"
    assert result.outcome is FlowOutcome.FAILED
    assert result.error is not None
    assert result.error.node == "odd"
    for event in recorder.events:
        assert b"\\u0000" not in orjson.dumps(event.data), "and everything said of it can be stored"
    result.error.message.encode()


def test_node_log_escapes_unstorable_characters() -> None:
    class Odd(Node):
        """Logs an undecodable name."""

        async def run(self, context: NodeContext) -> None:
            context.log("caf\udce9\x00")

    result, recorder = run_of(Odd)
    assert result.outcome is FlowOutcome.COMPLETED
    assert [event.data["log"] for event in recorder.events if "log" in event.data] == ["caf\\udce9\\x00"]


def test_node_constructor_error_fails_that_node() -> None:
    class Odd(Node):
        """Has a constructor that fails."""

        def __init__(self) -> None:
            sys.exit("no instance")

        async def run(self, context: NodeContext) -> None:
            """Never called."""

    result, _ = run_of(Odd)
    assert result.error is not None
    assert (result.error.node, result.outcome) == ("odd", FlowOutcome.FAILED)


def test_node_class_rejects_generator_run() -> None:
    with pytest.raises(InvalidNodeClass, match="yield"):

        class Odd(Node):
            """Yields."""

            def run(self, context: NodeContext) -> Iterator[int]:  # type: ignore[override]  # the point of the test
                yield 1


def test_threaded_node_timeout_starts_with_its_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    from chaingraph_flow.engine.tries import threads

    class Slow(Node):
        """Sleeps in a thread."""

        def run(self, context: NodeContext) -> None:
            time.sleep(0.4)

    monkeypatch.setattr(threads, "MOST_THREADS", 1)
    registry = Registry([Slow])
    spec = FlowSpec.model_validate({"nodes": [{"id": id_, "type": "Slow"} for id_ in ("first", "second")]})
    engine = Engine(
        Graph.build(spec, registry.catalogue),
        registry,
        context=RunContext("EX"),
        recorder=MemoryRecorder(),
        options=EngineOptions(node_timeout_seconds=0.7),
    )
    result = asyncio.run(engine.run())
    assert result.outcome is FlowOutcome.COMPLETED, "the second waited for its thread, and had all its time then"


def test_thread_of_timed_out_node_ends() -> None:
    turns: list[int] = []

    class Loops(Node):
        """Runs Python code for ever, in a thread."""

        def run(self, context: NodeContext) -> None:
            while True:
                turns.append(1)
                time.sleep(0.01)

    result, _ = run_of(Loops, timeout=0.05)
    assert result.error is not None
    assert result.error.reason == "NodeTimeout"
    for _ in range(500):
        if not any(thread.name == "node" for thread in threading.enumerate()):
            break
        time.sleep(0.01)
    seen = len(turns)
    time.sleep(0.05)
    assert len(turns) == seen
