"""A real operator and specs that are in part without effect: refused at creation, told of in `SpecIgnored` later."""

from __future__ import annotations

import json
from typing import Any

import pytest

from chaingraph_crds.flow import FlowSpec
from chaingraph_flow.revision import canonical, content, revision
from chaingraph_store.attempts.runs import AttemptEnd
from chaingraph_store.ids import execution_id
from chaingraph_store.ledger import Ledger
from fixtures.cluster.view import Cluster
from fixtures.ledger.moves import priority_in_queue
from fixtures.ledger.worker_by_hand import StartWorker
from fixtures.processes.programs import RunOperator
from fixtures.waiting import eventually

pytestmark = pytest.mark.integration
NODES = [{"id": "fetch", "type": "Text", "inputs": {"value": "x"}}, {"id": "join", "type": "Text"}]
FLOW: dict[str, Any] = {"nodes": NODES}
TYPO = {"breakpoints": ["join", "fetsh"]}
WORDS = "spec.options.breakpoints[1]: the flow has no node 'fetsh'; did you mean 'fetch'? (nodes: fetch, join)"


def patch(cluster: Cluster, name: str, **spec: Any) -> None:
    cluster.kubectl("patch", "cgx", name, "--type=merge", "-p", json.dumps({"spec": spec}))


async def ignored(cluster: Cluster, name: str, reason: str) -> str:
    return str((await cluster.condition("Execution", name, "SpecIgnored", status="True", reason=reason))["message"])


async def nothing_ignored(cluster: Cluster, name: str) -> None:
    async def look() -> bool:
        status = cluster.status("Execution", name)
        return "SpecIgnored" not in {each["type"] for each in status["conditions"]}

    await eventually(look, what=f"the end of SpecIgnored of {name}")


async def test_unknown_breakpoint_is_refused_at_creation_and_told_of_later(
    cluster: Cluster, run_operator: RunOperator, start_worker: StartWorker
) -> None:
    await start_worker()
    run_operator()
    cluster.apply("Execution", "inline", {"flow": FLOW, "options": TYPO})
    early = cluster.apply("Execution", "early", {"flowRef": {"name": "later"}, "options": TYPO})
    uid = cluster.apply("Execution", "edited", {"flow": FLOW, "paused": True, "options": {"breakpoints": ["join"]}})
    await cluster.condition("Execution", "early", "Succeeded", status="Unknown", reason="FlowNotFound")
    cluster.apply("Flow", "later", FLOW)
    for name in ("inline", "early"):
        refused = await cluster.condition("Execution", name, "Succeeded", status="False", reason="UnknownBreakpoint")
        assert refused["message"] == WORDS
        assert cluster.status("Execution", name)["error"] == {"message": WORDS, "reason": "UnknownBreakpoint"}
    await cluster.condition("Execution", "edited", "Paused", reason="Held")
    patch(cluster, "edited", options=TYPO)
    assert await ignored(cluster, "edited", "UnknownBreakpoint") == f"{WORDS}. The execution does not pause there"
    assert (await cluster.row(uid)).breakpoints == ["join", "fetsh"]
    assert ("Warning", "UnknownBreakpoint") in await cluster.events_of("edited", count=1)
    patch(cluster, "edited", options={"breakpoints": ["join"]})
    await nothing_ignored(cluster, "edited")
    patch(cluster, "early", options={"breakpoints": ["fetch"]}, retry={"token": "1"})
    await cluster.condition("Execution", "early", "Succeeded", status="Unknown", reason="Queued")
    assert (await cluster.row(early)).breakpoints == ["fetch"]


async def test_priority_and_start_timeout_can_be_edited_until_the_start(
    cluster: Cluster, run_operator: RunOperator, start_worker: StartWorker, ledger: Ledger
) -> None:
    worker = await start_worker()
    run_operator(CHAINGRAPH_NAMESPACE_MAX_PRIORITY="500", CHAINGRAPH_NAMESPACE_SECONDS="0")
    queued = cluster.apply("Execution", "queued", {"flow": FLOW})
    held = cluster.apply("Execution", "held", {"flow": FLOW, "paused": True, "startTimeoutSeconds": 8})
    for name in ("queued", "held"):
        await cluster.condition("Execution", name, "Succeeded", status="Unknown")
        patch(cluster, name, priority=400, startTimeoutSeconds=900, options={"flowTimeoutSeconds": 77})

    async def taken() -> bool:
        rows = [await cluster.row(each) for each in (queued, held)]
        return all(
            (row.priority, row.start_timeout_s, row.options["flowTimeoutSeconds"]) == (400, 900, 77) for row in rows
        )

    await eventually(taken, what="the edits in the ledger")
    assert await priority_in_queue(ledger, execution_id(queued)) == 400
    patch(cluster, "queued", priority=501)
    assert "501 is above 500" in await ignored(cluster, "queued", "PriorityTooHigh")
    assert await priority_in_queue(ledger, execution_id(queued)) == 400
    patch(cluster, "queued", priority=450)
    await nothing_ignored(cluster, "queued")
    await worker.claim(execution_id(queued))
    patch(cluster, "queued", priority=3, startTimeoutSeconds=5, options={"flowTimeoutSeconds": 88})
    message = await ignored(cluster, "queued", "AlreadyStarted")
    assert message.splitlines() == [
        "spec.startTimeoutSeconds: 5 has no effect after the start",
        "spec.options.flowTimeoutSeconds: this attempt uses 77; 88 takes effect with the next attempt",
    ]
    assert (await cluster.row(queued)).priority == 3, "it counts when it comes back into the queue"


async def test_forged_revision_is_told_of_at_flow_and_execution(
    cluster: Cluster, run_operator: RunOperator, start_worker: StartWorker, ledger: Ledger
) -> None:
    spec = FlowSpec.model_validate(FLOW)
    forged = {"nodes": [{"id": "fetch", "type": "Text", "inputs": {"value": "forged"}}]}
    async with ledger.connection() as connection:
        await connection.execute(
            "INSERT INTO chaingraph.flow_revisions (revision, spec) VALUES (%s, %s)",
            (revision(spec), canonical(forged).decode()),
        )
        # An execution uses it, so that no pruning removes it.
        await connection.execute(
            "INSERT INTO chaingraph.executions"
            " (id, namespace, name, flow_revision, queue, root_id, phase, workflow_id, finished_at)"
            " VALUES (%(id)s, 'elsewhere', 'old', %(revision)s, 'q', %(id)s, 'Completed', %(id)s, now())",
            {"id": "EXAAAAAAAAAAAAAAAAAAAAAAAA", "revision": revision(spec)},
        )
    await start_worker()
    run_operator()
    cluster.apply("Flow", "reviewed", FLOW)
    cluster.apply("Execution", "of-flow", {"flowRef": {"name": "reviewed"}})
    cluster.apply("Execution", "inline", {"flow": FLOW})
    found = await cluster.condition("Flow", "reviewed", "Ready", status="False", reason="ConflictingRevision")
    assert "another flow under revision" in found["message"]
    for name in ("of-flow", "inline"):
        await cluster.condition("Execution", name, "Stalled", status="True", reason="ConflictingRevision")
        assert ("Warning", "ConflictingRevision") in await cluster.events_of(name, count=1)
    async with ledger.connection() as connection:
        await connection.execute(
            "UPDATE chaingraph.flow_revisions SET spec = %s WHERE revision = %s",
            (canonical(content(spec)).decode(), revision(spec)),
        )
    cluster.kubectl("label", "flow", "reviewed", "touched=yes")
    patch(cluster, "of-flow", priority=1)
    await cluster.condition("Execution", "of-flow", "Succeeded", status="Unknown", reason="Queued")


async def test_spec_that_became_unreadable_is_told_of_while_it_runs(
    cluster: Cluster, run_operator: RunOperator, start_worker: StartWorker
) -> None:
    """As of a newer CRD: this one takes a priority that the operator does not know."""
    maximum = "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties/priority/maximum"

    def allow(value: int) -> None:
        edit = [{"op": "replace", "path": maximum, "value": value}]
        cluster.kubectl("patch", "crd", "executions.chaingraph.dev", "--type=json", "-p", json.dumps(edit))

    worker = await start_worker()
    run_operator()
    uid = cluster.apply("Execution", "odd", {"flow": FLOW})
    claimed = await worker.claim(execution_id(uid))
    await cluster.condition("Execution", "odd", "Succeeded", reason="Running")
    allow(5000)
    try:

        async def edited() -> bool:
            done = cluster.kubectl(
                "patch", "cgx", "odd", "--type=merge", "-p", '{"spec":{"priority":4000}}', check=False
            )
            return done.returncode == 0

        await eventually(edited, what="the newer CRD")
        message = await ignored(cluster, "odd", "Unreadable")
        assert "edits have no effect" in message
        assert "priority" in message
        assert ("Warning", "Unreadable") in await cluster.events_of("odd", count=1)
        await worker.progress(claimed, done=2, total=2, end=AttemptEnd("Completed", b"{}"))
        await cluster.condition("Execution", "odd", "Succeeded", status="True")
        assert cluster.status("Execution", "odd")["phase"] == "Completed", "its end is shown all the same"
    finally:
        cluster.kubectl("delete", "cgx", "odd")
        allow(1000)
