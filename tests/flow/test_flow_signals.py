"""Nodes that wait for a signal or an approval: each takes its own, once, whenever it comes."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, ClassVar

import pytest

from chaingraph_crds.flow import FlowSpec
from chaingraph_flow import Any as AnyType
from chaingraph_flow import (
    Engine,
    ErrorCode,
    FlowOutcome,
    Input,
    Node,
    NodeContext,
    NodeFailed,
    Output,
    Registry,
    Signal,
    String,
    WaitKind,
    validate,
)
from fixtures.flows.runs import WORKING, MemoryRecorder, engine, flow, run_flow

pytestmark = pytest.mark.looptime
PAID = "nodes: [{id: paid, type: WaitForSignal}]\noutputs: [{name: amount, from: paid.payload}]"
ASK = """
nodes:
  - {id: ask, type: Approval, inputs: {prompt: "Deploy?", approvers: {users: [ann]}}}
  - {id: go, type: Text, inputs: {value: went}}
  - {id: stay, type: Text, inputs: {value: stayed}}
edges:
  - {from: ask.approved, to: go.__execute}
  - {from: ask.rejected, to: stay.__execute}
"""


class Twice(Node):
    """Wants two signals."""

    takes_signals = "name"
    name = Input(String(), static=True)

    async def run(self, context: NodeContext) -> None:
        context.wait_for_signal()


class Undeclared(Node):
    """Does not declare that it waits for one."""

    async def run(self, context: NodeContext) -> None:
        context.wait_for_signal()


class Flaky(Node):
    """Fails with its first signal."""

    takes_signals = "name"
    name = Input(String(), static=True)
    seen: ClassVar[list[int]] = []
    value = Output(AnyType())

    async def run(self, context: NodeContext) -> None:
        signal = context.woken.signal if context.woken else None
        if signal is None:
            context.wait_for_signal()
        self.seen.append(signal.seq)
        if len(self.seen) == 1:
            raise NodeFailed("not yet")
        self.value = signal.payload


REGISTRY = WORKING.merge(Registry([Twice, Undeclared, Flaky]))


def signal(seq: int, name: str, payload: Any = None, **fields: Any) -> Signal:
    return Signal(seq, f"s{seq}", name, payload, at=1_700_000_000_123, **fields)


async def waiting(made: Engine) -> None:
    for _ in range(20):
        await asyncio.sleep(0)
    assert made.progress.waiting


async def run_with(spec: str, late: Sequence[Signal], **how: Any) -> tuple[Any, MemoryRecorder]:
    """Run a flow, and send the signals while it waits."""
    recorder = MemoryRecorder()
    made = engine(spec, recorder=recorder, registry=REGISTRY, **how)
    task = asyncio.create_task(made.run())
    await waiting(made)
    for each in late:
        made.deliver(each)
    return await task, recorder


async def test_signal_wakes_its_node() -> None:
    result, recorder = await run_with(PAID, [signal(4, "other", 1), signal(5, "paid", {"eur": 3}, by="ann")])
    assert result.outputs == {"amount": {"eur": 3}}
    record = recorder.of("paid")
    assert (record.signal, record.outputs["id"]) == (5, "s5")
    assert record.outputs["at"] == "2023-11-14T22:13:20.123Z"
    (wait,) = recorder.waits
    assert (wait.kind, wait.until, wait.signal) == (WaitKind.SIGNAL, None, "paid")
    assert recorder.named("node:waiting") == [{"nodeId": "paid", "kind": "Signal", "signal": "paid"}]
    received = recorder.named("signal:received")
    assert received == [{"id": "s4", "name": "other"}, {"id": "s5", "name": "paid", "by": "ann"}]


async def test_signal_may_come_before_its_node_waits() -> None:
    run = await run_flow(PAID, signals=[signal(1, "paid", "early")])
    assert run.result.outputs == {"amount": "early"}
    assert run.recorder.waits == [], "there was nothing to wait for"


async def test_signals_are_taken_in_order_and_one_each_run() -> None:
    run = await run_flow(PAID, signals=[signal(1, "paid", "first"), signal(2, "paid", "second")])
    assert run.result.outputs == {"amount": "first"}


async def test_earlier_engine_has_published_old_signals() -> None:
    run = await run_flow(PAID, signals=[signal(1, "paid"), signal(2, "paid")], signals_told=1)
    assert [each["id"] for each in run.recorder.named("signal:received")] == ["s2"]


async def test_taken_signal_is_not_given_to_a_node_that_runs_again() -> None:
    spec = "nodes: [{id: a, type: WaitForSignal, inputs: {name: go}}, {id: b, type: WaitForSignal}]"
    sent = [signal(1, "go", 1), signal(2, "go", 2), signal(3, "b", 3)]
    first = await run_flow(spec, signals=sent)
    kept = [each for each in first.recorder.records if each.node_id == "a"]
    assert [each.signal for each in kept] == [1]
    second = await run_flow(spec, signals=sent, journal=kept)
    assert second.recorder.of("b").signal == 3
    again = await run_flow(spec, signals=sent, journal=[first.recorder.of("b")])
    assert again.recorder.of("a").outputs["payload"] == 1, "nothing that is kept has taken it"


async def test_wait_for_a_signal_goes_on_in_another_engine() -> None:
    recorder = MemoryRecorder()
    made = engine(PAID, recorder=recorder)
    task = asyncio.create_task(made.run())
    await waiting(made)
    assert made.asleep_until is not None, "the flow's timeout"
    assert made.park()
    assert (await task).outcome is FlowOutcome.PARKED
    _, waits = recorder.cut(len(recorder.entries))
    second = await run_flow(PAID, waits=waits, signals=[signal(9, "paid", 9)], resumed=True)
    assert second.result.outputs == {"amount": 9}
    assert second.recorder.waits == []


async def test_node_timeout_limits_a_wait_for_a_signal() -> None:
    spec = "nodes: [{id: paid, type: WaitForSignal, timeoutSeconds: 60}]"
    result, recorder = await run_with(spec, [])
    assert result.error is not None
    assert (result.error.reason, result.error.message) == ("NodeTimeout", "timed out after 60 s")
    assert 59.9 <= asyncio.get_running_loop().time() < 61
    (wait,) = recorder.waits
    assert wait.times_out
    assert wait.until == wait.try_at + 60_000


async def test_signal_comes_before_the_timeout_of_its_node() -> None:
    long = "{id: long, type: Sleep, inputs: {milliseconds: 90000}}"
    spec = f"nodes: [{{id: paid, type: WaitForSignal, timeoutSeconds: 60}}, {long}]"
    result, recorder = await run_with(spec, [signal(1, "paid", 1)])
    assert result.outcome is FlowOutcome.COMPLETED
    assert recorder.of("paid").signal == 1


async def test_retry_takes_the_same_signal_again() -> None:
    Flaky.seen.clear()
    spec = "nodes: [{id: a, type: Flaky, retry: {maxAttempts: 2, backoffSeconds: 5}}]"
    result, recorder = await run_with(spec, [signal(1, "a", "x"), signal(2, "a", "y")])
    assert result.outcome is FlowOutcome.COMPLETED
    assert Flaky.seen == [1, 1]
    assert (recorder.of("a").outputs, recorder.of("a").signal) == ({"value": "x"}, 1)


async def test_paused_flow_takes_the_signal_when_it_resumes() -> None:
    recorder = MemoryRecorder()
    made = engine(PAID, recorder=recorder)
    task = asyncio.create_task(made.run())
    await waiting(made)
    made.pause()
    made.deliver(signal(1, "paid", 1))
    await asyncio.sleep(10)
    assert (made.held, made.quiet, recorder.records) == (("paid",), True, [])
    made.resume()
    assert (await task).outputs == {"amount": 1}


@pytest.mark.parametrize("approved", [True, False])
async def test_approval_has_two_paths(approved: bool) -> None:
    answer = {"approved": approved, "comment": "as discussed"}
    result, recorder = await run_with(ASK, [signal(1, "ask", answer, by="ann")])
    assert result.outcome is FlowOutcome.COMPLETED
    assert recorder.outcomes()["go"] == ("completed" if approved else "skipped")
    assert recorder.outcomes()["stay"] == ("skipped" if approved else "completed")
    outputs = recorder.of("ask").outputs
    assert (outputs["by"], outputs["comment"], outputs["answer"]) == ("ann", "as discussed", None)
    (wait,) = recorder.waits
    assert (wait.kind, wait.prompt) == (WaitKind.APPROVAL, "Deploy?")


async def test_approval_of_an_earlier_attempt_does_not_count() -> None:
    old, new = signal(1, "ask", {"approved": True}), signal(2, "ask", {"approved": False}, attempt=2)
    _, recorder = await run_with(ASK, [new], signals=[old], attempt=2)
    assert recorder.of("ask").signal == 2
    run = await run_flow(PAID, signals=[signal(1, "paid", 1)], attempt=2)
    assert run.result.outputs == {"amount": 1}, "of an earlier attempt, and not taken: it is no approval"


@pytest.mark.parametrize(
    ("type_", "told"),
    [
        ("Twice", "the node has taken its signal; use another node for the next one"),
        ("Undeclared", "the class of the node does not declare takes_signals, so no signal can reach it"),
    ],
)
async def test_node_class_that_waits_wrongly_fails(type_: str, told: str) -> None:
    run = await run_flow(
        f"nodes: [{{id: a, type: {type_}}}]", registry=REGISTRY, signals=[signal(1, "a"), signal(2, "a")]
    )
    assert run.result.error is not None
    assert run.result.error.message == told


@pytest.mark.parametrize(
    ("nodes", "path", "told"),
    [
        (
            "[{id: a, type: WaitForSignal}, {id: b, type: WaitForSignal, inputs: {name: a}}]",
            "spec.nodes[1].inputs.name",
            "the node 'a' takes the signal 'a' already: give this one another name",
        ),
        (
            "[{id: a, type: Approval, inputs: {prompt: go, approvers: {user: [ann]}}}]",
            "spec.nodes[0].inputs.approvers.user",
            "approvers takes `users` and `groups`, and no 'user'; did you mean 'users'?",
        ),
        (
            "[{id: a, type: Approval, inputs: {prompt: go, approvers: {users: []}}}]",
            "spec.nodes[0].inputs.approvers",
            "names no one who may approve: give `users` or `groups`, such as {groups: [release-managers]}",
        ),
        (
            f"[{{id: a, type: WaitForSignal, inputs: {{name: {'x' * 129}}}}}]",
            "spec.nodes[0].inputs.name",
            "the name of a signal has at most 128 characters, and no control characters",
        ),
        (
            '[{id: a, type: WaitForSignal, inputs: {name: "a\\0b"}}]',
            "spec.nodes[0].inputs.name",
            "the name of a signal has at most 128 characters, and no control characters",
        ),
        (
            "[{id: a, type: Approval, inputs: {prompt: go}}]",
            "spec.nodes[0].inputs.approvers",
            "'approvers' is required: set it here",
        ),
    ],
)
def test_flow_with_wrong_signals_is_refused(nodes: str, path: str, told: str) -> None:
    spec: FlowSpec = flow(f"nodes: {nodes}")
    found = {each.path: each for each in validate(spec, WORKING.catalogue)}
    assert found[path].message == told
    assert found[path].code in (ErrorCode.DUPLICATE_SIGNAL, ErrorCode.INVALID_VALUE, ErrorCode.MISSING_INPUT)
