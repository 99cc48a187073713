"""Retries from a node and with the latest revision: the cut that the operator decides, and the refusals."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from chaingraph_crds.flow import FlowSpec
from chaingraph_flow.catalogue import Catalogue
from chaingraph_flow.revision import revision
from chaingraph_operator.decide.flow_status import Checking, NotValidated, TooComplex, Unparseable, Validated
from chaingraph_operator.decide.plan import Missing, Nothing, Plan, RefuseRetry, Retry, plan
from chaingraph_operator.decide.retry_cut import RetryFacts
from chaingraph_store.commands.journal_cut import EndedAttempt, JournalCut
from fixtures.cluster.execution_cases import FLOW, ID, LACKING, META, UNSEEN, WRONG, row_of, spec_of
from fixtures.flows.runs import BUILT_IN

CHAIN: dict[str, Any] = {
    "inputs": [{"name": "city", "type": "string", "default": "Ulm"}],
    "nodes": [
        {"id": "fetch", "type": "Text", "inputs": {"value": "a"}},
        {"id": "clean", "type": "Join"},
        {"id": "load", "type": "Fail", "inputs": {"message": "no"}},
        {"id": "side", "type": "Text", "inputs": {"value": "b"}},
        {"id": "event", "type": "EventListener", "inputs": {"eventName": "paid"}},
    ],
    "edges": [
        {"from": "fetch.value", "to": "clean.a"},
        {"from": "inputs.city", "to": "clean.b"},
        {"from": "clean.result", "to": "load.__execute"},
    ],
}
JOURNAL = {"clean": "completed", "fetch": "completed", "load": "failed", "side": "completed"}


def flow(**changes: Any) -> FlowSpec:
    return FlowSpec.model_validate(CHAIN | changes)


def ended(**changes: Any) -> EndedAttempt:
    spec = flow()
    return replace(EndedAttempt(1, revision(spec), CHAIN, {"city": "Ulm"}, (), JOURNAL), **changes)


def decided(retry: dict[str, Any], view: Any = None, *, inputs: Any = (), **changes: Any) -> Plan:
    attempt = ended(**changes)
    facts = RetryFacts(attempt, BUILT_IN.catalogue, "report", view)
    row = row_of("Failed", flow_revision=attempt.flow_revision)
    spec = spec_of(retry={"token": "t"} | retry, inputs=dict(inputs))
    return plan(spec, META, UNSEEN, row, None, None, facts)


def cut_of(decision: Plan) -> JournalCut:
    assert isinstance(decision, Retry), decision
    assert decision.asked.cut is not None
    return decision.asked.cut


def repaired(*, inputs: Any = CHAIN["inputs"], **of_node: dict[str, Any]) -> Validated:
    """The Flow with other static inputs of its nodes."""
    nodes = [node | ({"inputs": of_node[node["id"]]} if node["id"] in of_node else {}) for node in CHAIN["nodes"]]
    spec = flow(nodes=nodes, inputs=inputs)
    return Validated(spec, revision(spec), ())


def test_retry_from_a_node_cuts_the_journal() -> None:
    cut = cut_of(decided({"node": "clean"}))
    assert (cut.attempt, cut.node, cut.flow) == (1, "clean", None)
    assert sorted(cut.dropped) == ["clean", "load"]
    assert (cut.kept, cut.completed, cut.again, cut.removed) == (2, 2, ("clean", "load"), 0)


def test_latest_revision_keeps_unchanged_nodes() -> None:
    view = repaired(load={"message": "yes"})
    cut = cut_of(decided({"flowRevision": "Latest"}, view))
    assert cut.flow is not None
    assert (cut.flow.revision, cut.flow.nodes_total, cut.flow.inputs) == (view.revision, 5, {"city": "Ulm"})
    assert (cut.kept, cut.again) == (3, ("load",))
    assert cut_of(decided({"flowRevision": "Latest"}, repaired(fetch={"value": "c"}))).again == (
        "fetch",
        "clean",
        "load",
    )


def test_changed_default_of_an_input_runs_its_nodes_again() -> None:
    inputs = [{"name": "city", "type": "string", "default": "Bern"}]
    view = repaired(inputs=inputs)
    assert cut_of(decided({"flowRevision": "Latest"}, view)).again == ("clean", "load")
    assert cut_of(decided({"flowRevision": "Latest"}, view, inputs={"city": "Ulm"})).again == ("load",), "it was given"


def test_latest_revision_that_it_has_already_is_no_new_one() -> None:
    cut = cut_of(decided({"flowRevision": "Latest"}, Validated(flow(), revision(flow()), ())))
    assert (cut.flow, cut.again) == (None, ("load",))


def test_start_with_the_latest_revision_keeps_nothing() -> None:
    cut = cut_of(decided({"flowRevision": "Latest", "from": "Start"}, repaired(load={"message": "yes"})))
    assert (cut.kept, cut.completed, sorted(cut.dropped)) == (0, 0, sorted(JOURNAL))
    assert cut.again == ("fetch", "clean", "load", "side")


def test_child_keeps_the_inputs_that_it_has() -> None:
    """Its resource leaves large values out."""
    spawned = {"executionID": ID, "parentExecutionID": ID, "position": 0}
    facts = RetryFacts(
        ended(inputs={"city": "Genf", "gone": 1}), BUILT_IN.catalogue, "report", repaired(load={"message": "yes"})
    )
    spec = spec_of(retry={"token": "t", "flowRevision": "Latest"}, inputs={}, spawnedBy=spawned)
    cut = cut_of(plan(spec, META, UNSEEN, row_of("Failed", flow_revision="x"), None, None, facts))
    assert cut.flow is not None
    assert (cut.flow.inputs, cut.again) == ({"city": "Genf"}, ("load",))


REQUIRED = [{"name": name, "type": "string", "required": True} for name in ("one", "two")]


@pytest.mark.parametrize(
    ("retry", "view", "reason", "message"),
    [
        ({"node": "lood"}, None, "UnknownNode", "the flow has no node 'lood'; did you mean 'load'?"),
        ({"node": "event"}, None, "NodeNotInRun", "'event' takes no part in this execution"),
        (
            {"node": "new", "flowRevision": "Latest"},
            repaired(),
            "UnknownNode",
            "the latest revision of the Flow has no node 'new'",
        ),
        (
            {"flowRevision": "Latest"},
            Missing("report", ("reports",)),
            "FlowNotFound",
            "Flow 'report' not found (did you mean 'reports'?)",
        ),
        ({"flowRevision": "Latest"}, WRONG, "FlowInvalid", "Flow 'report' is not ready. Fix it, then set another"),
        ({"flowRevision": "Latest"}, WRONG, "FlowInvalid", "spec.nodes[0].id: twice"),
        ({"flowRevision": "Latest"}, LACKING, "UnknownNodeType", "spec.nodes[0].type: none"),
        ({"flowRevision": "Latest"}, Unparseable(("spec.x: no",)), "FlowInvalid", "spec.x: no"),
        ({"flowRevision": "Latest"}, TooComplex(FLOW, "too long"), "TooComplex", "too long"),
        ({"flowRevision": "Latest"}, repaired(inputs=[*CHAIN["inputs"], *REQUIRED]), "InvalidInputs", "input 'one'"),
        ({"flowRevision": "Latest"}, repaired(inputs=[*CHAIN["inputs"], *REQUIRED]), "InvalidInputs", "input 'two'"),
    ],
)
def test_refusals_name_the_remedy(retry: dict[str, Any], view: Any, reason: str, message: str) -> None:
    decision = decided(retry, view)
    assert isinstance(decision, RefuseRetry), decision
    assert (decision.reason, decision.token) == (reason, "t")
    assert message in decision.message


def test_lost_flow_has_no_node_to_retry() -> None:
    nothing: dict[str, Any] = {"flow_revision": None, "flow_spec": None, "journal": {}}
    decision = decided({"node": "fetch"}, **nothing)
    assert isinstance(decision, RefuseRetry)
    assert decision.reason == "FlowNotFound"
    decision = decided({"flowRevision": "Latest"}, repaired(), **nothing)
    assert isinstance(decision, Retry)
    assert decision.asked.cut is None, "such a retry takes the latest flow anyway"


@pytest.mark.parametrize("view", [Checking(FLOW), NotValidated(FLOW, "r")])
def test_retry_waits_for_the_validation(view: Any) -> None:
    row = row_of("Failed", observed_generation=1)
    spec = spec_of(retry={"token": "t", "flowRevision": "Latest"})
    facts = RetryFacts(ended(), BUILT_IN.catalogue, "report", view)
    assert plan(spec, META, UNSEEN, row, None, None, facts) == Nothing()


def test_retry_waits_for_the_node_types_of_its_flow() -> None:
    """An unknown type may be a listener: which nodes take part is not known."""
    lacking = Catalogue(each for each in BUILT_IN.catalogue.values() if each.type != "EventListener")
    spec, row = spec_of(retry={"token": "t", "node": "fetch"}), row_of("Failed", observed_generation=1)
    assert plan(spec, META, UNSEEN, row, None, None, RetryFacts(ended(), lacking, "report")) == Nothing()
    facts = RetryFacts(ended(), lacking, "report", Missing("report"))
    latest = spec_of(retry={"token": "t", "flowRevision": "Latest"})
    assert isinstance(plan(latest, META, UNSEEN, row, None, None, facts), RefuseRetry), (
        "a former flow need not be known"
    )


@pytest.mark.parametrize("phase", ["Running", "Completed"])
def test_retry_needs_a_failed_or_stopped_execution(phase: str) -> None:
    spec = spec_of(retry={"token": "t", "node": "fetch"})
    decision = plan(spec, META, UNSEEN, row_of(phase, options=spec.options.complete(), wants_pause=False), None)
    assert isinstance(decision, RefuseRetry)
    assert decision.reason == {"Running": "StillRunning", "Completed": "AlreadyCompleted"}[phase]
