"""Which signals of a spec are accepted, and why others are refused."""

from __future__ import annotations

from typing import Any

import pytest

from chaingraph_flow import Registry
from chaingraph_operator.decide import status_events
from chaingraph_operator.decide.plan import Nothing, RefuseSignals, Retry, Stop, UpdateControl, plan
from chaingraph_operator.decide.signals import (
    MOST_BYTES,
    MOST_SIGNALS,
    SignalFacts,
    decide,
    refused,
    signal_nodes,
    statuses,
)
from chaingraph_operator.decide.status import execution_status
from chaingraph_store.signals import KnownSignals
from fixtures.cluster.execution_cases import META, NOW, UNSEEN, row_of, spec_of

CATALOGUE = Registry.discover().catalogue
NODES: list[dict[str, Any]] = [
    {"id": "paid", "type": "WaitForSignal", "inputs": {"schema": {"type": "object", "properties": {"eur": "number"}}}},
    {"id": "go", "type": "WaitForSignal", "inputs": {"name": "start"}},
    {
        "id": "ask",
        "type": "Approval",
        "inputs": {
            "prompt": "Deploy?",
            "approvers": {"users": ["ann"], "groups": ["release"]},
            "schema": {"type": "enum", "options": ["eu", "us"]},
        },
    },
    {"id": "text", "type": "Text"},
]
ANN = {"user": "ann"}
BOB = {"user": "bob", "groups": ["release", "staff"]}
EVE = {"user": "eve", "groups": ["staff"]}


def facts(known: KnownSignals | None = None, nodes: list[dict[str, Any]] | None = None) -> SignalFacts:
    found, complete = signal_nodes({"nodes": NODES if nodes is None else nodes}, CATALOGUE)
    return SignalFacts(known or KnownSignals({}, frozenset()), found, complete)


def one(name: str, payload: Any = None, **fields: Any) -> dict[str, Any]:
    return {"id": "s", "name": name, "payload": payload} | fields


def refusal_of(entry: dict[str, Any], *, ended: bool = False) -> tuple[str, str] | None:
    judged = decide(spec_of(signals=[entry]), facts(), ended=ended)
    assert len(judged.accepted) + len(judged.refused) == 1
    return (judged.refused[0].reason, judged.refused[0].message) if judged.refused else None


@pytest.mark.parametrize(
    "entry",
    [
        one("paid", {"eur": 3}),
        one("start"),
        one("start", {"any": [1]}),
        one("ask", {"approved": True, "answer": "eu"}, by=ANN),
        one("ask", {"approved": True, "answer": "us", "comment": "x"}, by=BOB),
        one("ask", {"approved": False}, by=ANN),
    ],
)
def test_fitting_signal_is_accepted(entry: dict[str, Any]) -> None:
    assert refusal_of(entry) is None


@pytest.mark.parametrize(
    ("entry", "reason", "told"),
    [
        (one("payd", 1), "UnknownSignal", "signals[0].name: no node takes the signal 'payd'; did you mean 'paid'?"),
        (one("go", 1), "UnknownSignal", "no node takes the signal 'go' (signals: paid, start, ask)"),
        (one("paid", {"eur": "3"}), "InvalidPayload", "spec.signals[0].payload.eur: must be a number, is a string"),
        (one("paid"), "InvalidPayload", "spec.signals[0].payload: must be an object, is null"),
        (one("paid", {"eur": 2**63 * 10.0}), "InvalidPayload", "spec.signals[0].payload.eur"),
        (one("ask", {"approved": True, "answer": "eu"}), "NotAnApprover", "an approval needs the user who gives it"),
        (
            one("ask", {"approved": True, "answer": "eu"}, by=EVE),
            "NotAnApprover",
            "spec.signals[0].by: 'eve' may not approve 'ask': user 'ann', group 'release' may",
        ),
        (one("ask", {"answer": "eu"}, by=ANN), "InvalidPayload", "spec.signals[0].payload.approved: must be a boolean"),
        (one("ask", True, by=ANN), "InvalidPayload", "spec.signals[0].payload: must be an object, is a boolean"),
        (one("ask", {"approved": True}, by=ANN), "InvalidPayload", "spec.signals[0].payload.answer: must be one of"),
        (
            one("ask", {"approved": False, "answer": "mars"}, by=ANN),
            "InvalidPayload",
            "spec.signals[0].payload.answer: must be one of eu, us; is 'mars'",
        ),
        (
            one("ask", {"approved": True, "answr": "eu"}, by=ANN),
            "InvalidPayload",
            "spec.signals[0].payload.answr: unknown; an approval takes `approved`, `answer` and `comment`",
        ),
    ],
)  # fmt: skip
def test_unfitting_signal_is_refused_with_its_path(entry: dict[str, Any], reason: str, told: str) -> None:
    found = refusal_of(entry)
    assert found is not None
    assert found[0] == reason
    assert told in found[1]
    assert found[1].startswith("spec.signals[0]")


def test_deep_payload_is_refused() -> None:
    deep: list[Any] = []
    for _ in range(600):
        deep = [deep]
    found = refusal_of(one("start", deep))
    assert found is not None
    assert (found[0], "nested deeper" in found[1]) == ("InvalidPayload", True)


def test_ended_execution_refuses_every_signal() -> None:
    assert refusal_of(one("paid", {"eur": 1}), ended=True) == (
        "ExecutionEnded",
        "spec.signals[0]: the execution has ended, so nothing can take a signal",
    )


def test_limits_count_what_was_accepted_before() -> None:
    full = KnownSignals({}, frozenset(), count=MOST_SIGNALS - 1)
    judged = decide(spec_of(signals=[one("start", id="a"), one("start", id="b")]), facts(full), ended=False)
    assert ([each.id for each in judged.accepted], [each.reason for each in judged.refused]) == (
        ["a"],
        ["TooManySignals"],
    )
    large = KnownSignals({}, frozenset(), size=MOST_BYTES - 4)
    judged = decide(spec_of(signals=[one("start", "xxxx", id="a"), one("start", 1, id="b")]), facts(large), ended=False)
    assert ([each.id for each in judged.accepted], [each.reason for each in judged.refused]) == (["b"], ["TooLarge"])


def test_signal_waits_for_a_worker_that_knows_the_node_types() -> None:
    strange = facts(nodes=[*NODES, {"id": "own", "type": "acme.Own"}])
    judged = decide(spec_of(signals=[one("own", id="a"), one("start", id="b")]), strange, ended=False)
    assert [each.id for each in judged.accepted] == ["b"]
    assert judged.refused == ()


def test_known_ids_are_not_judged_again() -> None:
    known = KnownSignals({"a": ("UnknownSignal", "no")}, frozenset("b"))
    spec = spec_of(signals=[one("start", id="a"), one("start", id="b")])
    assert decide(spec, facts(known), ended=False) == decide(spec_of(), facts(known), ended=False)
    assert plan(spec, META, UNSEEN, row_of("Running"), None, facts(known)) == Nothing()


def test_plan_delivers_before_it_refuses() -> None:
    spec = spec_of(signals=[one("nobody", id="a"), one("start", 7, id="b", by=ANN)])
    first = plan(spec, META, UNSEEN, row_of("Running"), None, facts())
    assert isinstance(first, UpdateControl)
    assert [(each.id, each.name, each.payload, each.by) for each in first.wanted.signals] == [
        ("b", "start", b"7", "ann")
    ]
    then = plan(spec, META, UNSEEN, row_of("Running"), None, facts(KnownSignals({}, frozenset("b"))))
    assert isinstance(then, RefuseSignals)
    assert ([each.id for each in then.refused], then.spec_ids) == (["a"], ("a", "b"))


def test_stop_and_retry_come_before_signals() -> None:
    entries = [one("start")]
    assert isinstance(plan(spec_of(signals=entries, stop=True), META, UNSEEN, row_of("Running"), None, facts()), Stop)
    retried = plan(spec_of(signals=entries, retry={"token": "t"}), META, UNSEEN, row_of("Failed"), None, facts())
    assert isinstance(retried, Retry), "the next attempt takes them"
    ended = plan(spec_of(signals=entries), META, UNSEEN, row_of("Failed"), None, facts())
    assert isinstance(ended, RefuseSignals)


def test_status_shows_each_entry_and_condition_the_refused_ones() -> None:
    known = KnownSignals({each: ("UnknownSignal", f"not {each}") for each in "abcd"}, frozenset("e"))
    spec = spec_of(signals=[one("start", id=each) for each in "abcdef"])
    shown = statuses(spec, known)
    assert [(each.id, each.state) for each in shown] == [*((each, "Refused") for each in "abcd"), ("e", "Accepted")]
    (condition,) = refused(shown)
    assert condition.reason == "UnknownSignal"
    assert condition.message == "signal 'a': not a\nsignal 'b': not b\nsignal 'c': not c\n... and 1 more"
    status = execution_status(META, spec, row_of("Running"), None, UNSEEN, now=NOW, known_signals=known)
    assert [each["id"] for each in status["signals"]] == list("abcde")
    (event,) = [
        each for each in status_events.of_execution({"phase": "Running"}, status) if each.reason == "SignalRefused"
    ]
    assert event.message == "signal 'a': not a; and 3 more"
    assert status_events.of_execution(status, status) == []
    assert "signals" not in execution_status(META, spec_of(), row_of("Running"), None, UNSEEN, now=NOW)
