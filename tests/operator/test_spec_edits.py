"""Every field of an Execution's spec: what an edit of it does. A new field has to be classified."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from chaingraph_crds.definitions.structural import immutable_fields, structural_schema
from chaingraph_crds.edits import EDITS, EditEffect
from chaingraph_crds.execution import ExecutionOptions, ExecutionSpec
from chaingraph_flow import Any as AnyType
from chaingraph_operator.decide.actions import Command, Nothing, Plan, Retry, UpdateControl
from chaingraph_operator.decide.ignored import Reason, claim, of_active
from chaingraph_operator.decide.plan import plan
from chaingraph_operator.decide.signals import SignalFacts, SignalNode
from chaingraph_store.executions import ExecutionRow
from chaingraph_store.signals import KnownSignals
from fixtures.cluster.execution_cases import META, NOW, UNSEEN, row_of, spec_of

VALUES: Mapping[str, Any] = {
    "paused": True,
    "step": "s",
    "resume": "r",
    "signals": [{"id": "s", "name": "paid"}],
    "stop": True,
    "stopReason": "enough",
    "retry.token": "t",
    "retry.from": "Start",
    "retry.node": "a",
    "retry.flowRevision": "Latest",
    "options.maxConcurrency": 7,
    "options.nodeTimeoutSeconds": 7,
    "options.flowTimeoutSeconds": 7,
    "options.debug": True,
    "options.breakpoints": ["a"],
    "startTimeoutSeconds": 60,
    "priority": 9,
    "ttlSecondsAfterFinished": 0,
    "children.onStop": "Continue",
}
"""Another value than the default for each field that may be edited."""
BESIDE: Mapping[str, Mapping[str, Any]] = {
    "stopReason": {"stop": True},
    **{f"retry.{name}": {"retry.token": "t"} for name in ("from", "node", "flowRevision")},
}
"""What has to be set with a field."""


def leaves(schema: Mapping[str, Any], path: str = "") -> Iterator[str]:
    for name, field in schema["properties"].items():
        whole = f"{path}{name}"
        if "properties" in field and EDITS.get(whole) is not EditEffect.REFUSED:
            yield from leaves(field, f"{whole}.")
        else:
            yield whole


def edited(path: str) -> ExecutionSpec:
    fields: dict[str, Any] = {}
    for where, value in {**BESIDE.get(path, {}), path: VALUES[path]}.items():
        *above, name = where.split(".")
        inner = fields
        for each in above:
            inner = inner.setdefault(each, {})
        inner[name] = value
    return spec_of(**fields)


def row_in(place: str) -> ExecutionRow:
    """The row of an execution whose spec is all defaults: held, queued, running or failed."""
    options = ExecutionOptions().complete()
    match place:
        case "held":
            return row_of("Created", started_at=None, options=options, wants_pause=False)
        case "queued":
            return row_of("Pending", started_at=None, options=options)
        case "running":
            return row_of("Running", started_at=NOW, options=options)
    return row_of("Failed", started_at=NOW, options=options)


def decided(path: str, place: str) -> Plan:
    facts = SignalFacts(KnownSignals({}, frozenset()), {"paid": SignalNode("paid", AnyType())}, complete=True)
    return plan(edited(path), META, UNSEEN, row_in(place), None, facts)


def test_every_field_is_classified() -> None:
    assert set(EDITS) == set(leaves(structural_schema(ExecutionSpec, "spec")))
    immutable = {path for path, edit in EDITS.items() if edit is EditEffect.REFUSED}
    assert {path for path in immutable if "." not in path} == set(immutable_fields(ExecutionSpec))
    assert set(VALUES) == set(EDITS) - immutable


@pytest.mark.parametrize("path", [path for path, edit in EDITS.items() if edit is not EditEffect.REFUSED])
def test_edit_of_a_field_does_what_the_reference_says(path: str) -> None:
    kind = EDITS[path]
    held, queued, running = (decided(path, place) for place in ("held", "queued", "running"))
    if path == "ttlSecondsAfterFinished":
        assert {type(each) for each in (held, queued, running)} == {Nothing}, "read from the spec at the end"
        return
    assert isinstance(held, Command)
    assert isinstance(queued, Command)
    assert type(held) is type(queued)
    later = kind in (EditEffect.BEGINNING, EditEffect.START)
    assert isinstance(running, Nothing if later else Command)
    ignored = claim(of_active(edited(path), row_in("running"), ["a"]))
    assert bool(ignored) == later
    if later:
        name = Reason.ALREADY_STARTED if kind is EditEffect.START else Reason.NEXT_ATTEMPT
        assert ignored[0].reason == name
        assert ignored[0].message.startswith(f"spec.{path}: ")
        assert isinstance(held, UpdateControl)
    assert claim(of_active(edited(path), row_in("queued"), ["a"])) == []


@pytest.mark.parametrize("path", ["priority", "startTimeoutSeconds", *(each for each in VALUES if "options." in each)])
def test_retry_takes_the_whole_spec(path: str) -> None:
    spec = edited(path).model_copy(update={"retry": edited("retry.token").retry})
    decision = plan(spec, META, UNSEEN, row_in("failed"), None)
    assert isinstance(decision, Retry)
    asked = decision.asked
    assert (asked.priority, asked.start_timeout_seconds) == (spec.priority, spec.start_timeout_seconds)
    assert asked.options == spec.options.complete()
    assert claim(of_active(spec, row_in("failed"), ["a"])) == [], "it has ended: nothing is ignored"
