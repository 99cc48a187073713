"""A real operator between a user's edits and the ledger: pause, step, resume, breakpoints, stop, retry, refusals."""

from __future__ import annotations

import json
from typing import Any

import pytest

from chaingraph_store.attempts.runs import AttemptEnd
from chaingraph_store.ids import ExecutionId, execution_id
from chaingraph_store.ledger import Ledger
from fixtures.cluster.control_plane import ControlPlane
from fixtures.cluster.view import Cluster
from fixtures.ledger.moves import messages
from fixtures.ledger.worker_by_hand import StartWorker
from fixtures.processes.programs import RunOperator
from fixtures.waiting import eventually

pytestmark = pytest.mark.integration

FLOW = {"nodes": [{"id": "fetch", "type": "Text", "inputs": {"value": "hello"}}, {"id": "join", "type": "Text"}]}
INLINE: dict[str, Any] = {"flow": FLOW}
BY_SPEC = ""


def patch(cluster: Cluster, name: str, **spec: Any) -> None:
    cluster.kubectl("patch", "cgx", name, "--type=merge", "-p", json.dumps({"spec": spec}))


async def commands(ledger: Ledger, execution: ExecutionId, *, count: int) -> list[str]:
    """The kinds of the commands that were sent to the execution's worker, once there are so many."""

    async def look() -> list[str] | None:
        sent = await messages(ledger, execution)
        numbered = [each for _, topic, said in sent if topic == "COMMAND" for each in said["commands"]]
        found = [each["kind"] for each in sorted(numbered, key=lambda each: each["seq"])]
        return found if len(found) >= count else None

    return await eventually(look, what=f"{count} commands")


async def status_with(cluster: Cluster, name: str, **fields: Any) -> dict[str, Any]:
    async def look() -> dict[str, Any] | None:
        status = cluster.status("Execution", name)
        return status if fields.items() <= status.items() else None

    return await eventually(look, what=f"status of {name} with {fields}")


async def test_debugging_session_is_steered_shown_and_announced(
    cluster: Cluster, run_operator: RunOperator, start_worker: StartWorker, ledger: Ledger, control_plane: ControlPlane
) -> None:
    worker = await start_worker()
    run_operator()
    uid = cluster.apply("Execution", "session", INLINE)
    execution = execution_id(uid)
    claimed = await worker.claim(execution)
    await cluster.condition("Execution", "session", "Succeeded", reason="Running")

    patch(cluster, "session", paused=True)
    assert await commands(ledger, execution, count=1) == ["PAUSE"]
    await worker.pause(claimed, node=BY_SPEC)
    paused = await cluster.condition("Execution", "session", "Paused", status="True", reason="Paused")
    assert "held before 'node-1'" in paused["message"]
    assert "set spec.paused to false" in paused["message"]
    assert cluster.status("Execution", "session")["currentNodes"] == ["node-1"]

    patch(cluster, "session", step="1")
    assert await commands(ledger, execution, count=2) == ["PAUSE", "STEP"]
    await worker.pause(claimed, node=BY_SPEC, done=2)
    await status_with(cluster, "session", lastStep="1", currentNodes=["node-2"])

    patch(cluster, "session", paused=False, options={"breakpoints": ["join"]})
    assert sorted(await commands(ledger, execution, count=4)) == ["BREAKPOINTS", "PAUSE", "RESUME", "STEP"]
    await worker.resume(claimed, done=2)
    await cluster.condition("Execution", "session", "Paused", status="False", reason="NotPaused")
    await worker.pause(claimed, node="join", done=2)
    hit = await cluster.condition("Execution", "session", "Paused", status="True", reason="Breakpoint")
    assert "change spec.resume" in hit["message"]
    assert "'join'" in cluster.kubectl("get", "cgx", "session", "-o", "wide").stdout

    patch(cluster, "session", resume="now")
    assert (await commands(ledger, execution, count=5))[-1] == "RESUME"
    await worker.resume(claimed, done=2)
    await status_with(cluster, "session", lastResume="now", phase="Running")
    await worker.progress(claimed, done=3, total=3, end=AttemptEnd("Completed", b"{}"))
    await cluster.condition("Execution", "session", "Succeeded", status="True")
    told = await cluster.events_of("session", count=5)
    assert sorted(reason for _, reason in told) == ["BreakpointHit", "Completed", "Paused", "Resumed", "Resumed"]
    assert {type_ for type_, _ in told} == {"Normal"}
    events = [
        each for each in control_plane.audit_events(cluster.namespace) if each["objectRef"]["resource"] == "events"
    ]
    assert len(events) == 5


async def test_tokens_in_a_new_manifest_trigger_nothing(
    cluster: Cluster, run_operator: RunOperator, start_worker: StartWorker, ledger: Ledger
) -> None:
    worker = await start_worker()
    run_operator()
    tokens = {"step": "a", "resume": "b", "retry": {"token": "c"}}
    uid = cluster.apply("Execution", "tokens", {**INLINE, **tokens})
    execution = execution_id(uid)
    claimed = await worker.claim(execution)
    await status_with(cluster, "tokens", phase="Running", lastStep="a", lastResume="b", lastRetry="c")
    patch(cluster, "tokens", step=None, resume=None, retry=None)
    await status_with(cluster, "tokens", observedGeneration=2, lastStep="a", lastResume="b", lastRetry="c")
    patch(cluster, "tokens", **tokens)
    await status_with(cluster, "tokens", observedGeneration=3)
    await worker.progress(claimed, done=3, total=3, end=AttemptEnd("Failed", None, "fetch", "NodeFailed", "404"))
    await cluster.condition("Execution", "tokens", "Succeeded", status="False")
    assert await messages(ledger, execution) == []
    assert await cluster.events_of("tokens", count=1) == [("Warning", "Failed")]


async def test_forced_sync_of_old_tokens_triggers_nothing(
    cluster: Cluster, run_operator: RunOperator, start_worker: StartWorker, ledger: Ledger
) -> None:
    """A tool has its manifest's tokens in the place of those that a person has used since."""
    worker = await start_worker()
    run_operator()
    manifest: dict[str, Any] = {"step": "s0", "resume": "r0", "retry": {"token": "t0"}, "paused": False, "stop": False}
    uid = cluster.apply("Execution", "synced", {**INLINE, **manifest, "options": {"breakpoints": ["join"]}})
    execution = execution_id(uid)
    claimed = await worker.claim(execution)
    at_breakpoint = "join"
    await worker.pause(claimed, node=at_breakpoint)
    await cluster.condition("Execution", "synced", "Paused", status="True", reason="Breakpoint")

    patch(cluster, "synced", step="s1")
    assert await commands(ledger, execution, count=1) == ["STEP"]
    await worker.pause(claimed, node=at_breakpoint, done=2)
    patch(cluster, "synced", **manifest)
    await status_with(cluster, "synced", observedGeneration=3, lastStep="s1")
    patch(cluster, "synced", resume="r1")
    assert await commands(ledger, execution, count=2) == ["STEP", "RESUME"]
    await worker.pause(claimed, node=at_breakpoint, done=2)
    patch(cluster, "synced", **manifest)
    await status_with(cluster, "synced", observedGeneration=5, lastResume="r1", phase="Paused")
    assert len(await messages(ledger, execution)) == 2

    patch(cluster, "synced", stop=True)
    await cluster.condition("Execution", "synced", "Succeeded", status="False", reason="Stopped")
    patch(cluster, "synced", stop=False, retry={"token": "t1"})
    await status_with(cluster, "synced", attempt=2, lastRetry="t1")
    second = await worker.claim(execution)
    await worker.progress(second, done=1, total=3, end=AttemptEnd("Failed", None, "fetch", "NodeFailed", "404"))
    await cluster.condition("Execution", "synced", "Succeeded", status="False", reason="NodeFailed")
    patch(cluster, "synced", **manifest)
    await status_with(cluster, "synced", observedGeneration=8, phase="Failed", attempt=2, lastRetry="t1")
    assert "RetryRefused" not in {each["type"] for each in cluster.status("Execution", "synced")["conditions"]}
    row = await cluster.row(uid)
    assert (row.attempt, row.step_token, row.resume_token, row.observed_generation) == (2, "s1", "r1", 8)
    told = {reason for _, reason in await cluster.events_of("synced", count=1)}
    assert not told & {"StepIgnored", "ResumeIgnored", "RetryRefused"}


async def test_ineffective_commands_cause_warnings(
    cluster: Cluster, run_operator: RunOperator, start_worker: StartWorker, ledger: Ledger
) -> None:
    worker = await start_worker()
    run_operator()
    uid = cluster.apply("Execution", "vain", INLINE)
    claimed = await worker.claim(execution_id(uid))
    await cluster.condition("Execution", "vain", "Succeeded", reason="Running")
    patch(cluster, "vain", step="1", resume="2", options={"breakpoints": ["fetsh", "joint"]})
    await commands(ledger, execution_id(uid), count=1)
    await worker.resume(claimed)
    await status_with(cluster, "vain", lastStep="1", lastResume="2")
    told = await cluster.events_of("vain", count=3)
    assert sorted(told) == [("Warning", "ResumeIgnored"), ("Warning", "StepIgnored"), ("Warning", "UnknownBreakpoint")]
    described = cluster.kubectl("describe", "cgx", "vain").stdout
    assert "the flow has no node 'fetsh'; did you mean 'fetch'?" in described
    assert "the flow has no node 'joint'; did you mean 'join'?" in described
    assert "spec.step '1' ignored: the execution is not paused" in described


async def test_held_execution_starts_in_single_steps(
    cluster: Cluster, run_operator: RunOperator, start_worker: StartWorker, ledger: Ledger
) -> None:
    await start_worker()
    run_operator()
    uid = cluster.apply("Execution", "careful", {**INLINE, "paused": True})
    await cluster.condition("Execution", "careful", "Paused", status="True", reason="Held")
    patch(cluster, "careful", step="1")

    async def signalled() -> bool:
        return [topic for _, topic, _ in await messages(ledger, execution_id(uid))] == ["START_SIGNAL"]

    await eventually(signalled, what="START_SIGNAL")
    row = await cluster.row(uid)
    assert (row.paused, row.step_token, row.steps_owed) == (True, "1", 1)


async def test_parked_execution_resumes_and_then_stops(
    cluster: Cluster, run_operator: RunOperator, start_worker: StartWorker
) -> None:
    worker = await start_worker()
    run_operator()
    uid = cluster.apply("Execution", "parked", {**INLINE, "queue": "nowhere"})
    await cluster.row(uid)
    patch(cluster, "parked", paused=True)
    await cluster.condition("Execution", "parked", "Paused", status="True", reason="Paused")
    row = await cluster.row(uid, phase="Paused")
    assert row.parked
    assert "parked: " in next(
        each["message"] for each in cluster.status("Execution", "parked")["conditions"] if each["type"] == "Paused"
    )
    patch(cluster, "parked", paused=False)
    assert (await cluster.row(uid, phase="Pending")).run == 2
    await worker.claim(execution_id(uid))
    await status_with(cluster, "parked", phase="Running", attempt=1)
    patch(cluster, "parked", stop=True, stopReason="enough")
    stopped = await cluster.condition("Execution", "parked", "Succeeded", status="False", reason="Stopped")
    assert stopped["message"] == "enough"


async def test_a_failed_execution_is_retried_and_its_history_shown(
    cluster: Cluster, run_operator: RunOperator, start_worker: StartWorker
) -> None:
    worker = await start_worker()
    run_operator()
    uid = cluster.apply("Execution", "again", {**INLINE, "ttlSecondsAfterFinished": 3600})
    claimed = await worker.claim(execution_id(uid))
    await worker.progress(claimed, done=1, total=2, end=AttemptEnd("Failed", None, "fetch", "NodeFailed", "404"))
    await cluster.condition("Execution", "again", "Succeeded", status="False", reason="NodeFailed")

    patch(cluster, "again", retry={"token": "1"}, options={"maxConcurrency": 3})
    status = await status_with(cluster, "again", phase="Pending", attempt=2, lastRetry="1")
    assert "completionTime" not in status
    assert "error" not in status
    second = await worker.claim(execution_id(uid))
    assert (second.attempt, json.loads(second.options)["maxConcurrency"]) == (2, 3)
    await worker.progress(second, done=2, total=2)
    patch(cluster, "again", stop=True)
    await cluster.condition("Execution", "again", "Succeeded", status="False", reason="Stopped")

    patch(cluster, "again", stop=False, retry={"token": "2", "from": "Start"})
    await status_with(cluster, "again", attempt=3, lastRetry="2")
    await worker.run(execution_id(uid))
    await cluster.condition("Execution", "again", "Succeeded", status="True")
    attempts = cluster.status("Execution", "again")["attempts"]
    assert [(each["attempt"], each["phase"], each["reason"], each["retriedFrom"]) for each in attempts] == [
        (1, "Failed", "NodeFailed", "Failed"),
        (2, "Stopped", "Stopped", "Start"),
    ]
    assert (attempts[0]["node"], attempts[0]["message"]) == ("fetch", "404")
    told = sorted(reason for _, reason in await cluster.events_of("again", count=5))
    assert told == ["Completed", "Failed", "RetryStarted", "RetryStarted", "Stopped"]


async def test_impossible_retry_is_refused_once_and_used_up(
    cluster: Cluster, run_operator: RunOperator, start_worker: StartWorker, control_plane: ControlPlane
) -> None:
    worker = await start_worker()
    first = run_operator()
    uid = cluster.apply("Execution", "early", INLINE)
    claimed = await worker.claim(execution_id(uid))
    await cluster.condition("Execution", "early", "Succeeded", reason="Running")
    patch(cluster, "early", retry={"token": "1"})
    refused = await cluster.condition("Execution", "early", "RetryRefused", status="True", reason="StillRunning")
    assert refused["message"].startswith("Retry '1' refused: the execution was Running")
    assert await cluster.events_of("early", count=1) == [("Warning", "RetryRefused")]
    # It does not begin an attempt later, when the execution happens to fail; not by another operator either.
    await worker.progress(claimed, done=1, total=2, end=AttemptEnd("Failed", None, "fetch", "NodeFailed", "404"))
    failed = await cluster.condition("Execution", "early", "Succeeded", status="False")
    first.terminate()
    run_operator()
    assert failed["reason"] == "NodeFailed"
    assert (await cluster.row(uid)).attempt == 1

    patch(cluster, "early", retry={"token": "2"})
    await status_with(cluster, "early", attempt=2, lastRetry="2")
    await worker.run(execution_id(uid))
    await cluster.condition("Execution", "early", "Succeeded", status="True")
    patch(cluster, "early", retry={"token": "3"})
    await cluster.condition("Execution", "early", "RetryRefused", status="True", reason="AlreadyCompleted")
    told = sorted(reason for _, reason in await cluster.events_of("early", count=5))
    assert told == ["Completed", "Failed", "RetryRefused", "RetryRefused", "RetryStarted"]
    assert cluster.status("Execution", "early")["phase"] == "Completed"


async def test_unmade_execution_is_judged_again_on_retry(
    cluster: Cluster, run_operator: RunOperator, start_worker: StartWorker
) -> None:
    worker = await start_worker()
    run_operator()
    cluster.apply("Flow", "weather", {**FLOW, "inputs": [{"name": "city", "type": "string", "required": True}]})
    uid = cluster.apply("Execution", "unmade", {"flowRef": {"name": "weather"}})
    refused = await cluster.condition("Execution", "unmade", "Succeeded", status="False", reason="InvalidInputs")
    assert "spec.inputs.city" in refused["message"]
    patch(cluster, "unmade", retry={"token": "1"})
    await status_with(cluster, "unmade", phase="Failed", lastRetry="1", observedGeneration=2)
    cluster.apply("Flow", "weather", FLOW)
    await cluster.condition("Flow", "weather", "Ready", status="True", reason="Valid")
    patch(cluster, "unmade", retry={"token": "2"})
    await worker.run(execution_id(uid))
    await cluster.condition("Execution", "unmade", "Succeeded", status="True")
    assert sorted(await cluster.events_of("unmade", count=3)) == [
        ("Normal", "Completed"),
        ("Warning", "InvalidInputs"),
        ("Warning", "InvalidInputs"),
    ]
