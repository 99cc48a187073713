"""Which verb is allowed in which state, and what is suggested instead."""

from __future__ import annotations

from typing import Any

import pytest

from chaingraph_cli.execution import Execution
from chaingraph_cli.executions import guards
from chaingraph_crds.execution import ExecutionPhase


def execution(phase: str, *, paused: bool = False) -> Execution:
    status = {"phase": phase, "executionID": "EX1"}
    return Execution({"metadata": {"name": "one"}, "spec": {"paused": paused}, "status": status})


def in_its_tree(spec: dict[str, Any]) -> Execution:
    """One that has completed, and something below it has not ended."""
    tree = {"type": "TreeSucceeded", "status": "Unknown", "reason": "ChildrenActive", "message": "1 child: 1 running"}
    status = {"phase": "Completed", "executionID": "EX1", "conditions": [tree], "observedGeneration": 1}
    return Execution({"metadata": {"name": "one", "generation": 1}, "spec": spec, "status": status})


UNSEEN: dict[str, Any] = {"metadata": {"name": "one"}, "spec": {}}
HELD_UNSEEN: dict[str, Any] = {"metadata": {"name": "one"}, "spec": {"paused": True}}

STEP_ASKED: dict[str, Any] = {"conditions": [{"type": "Succeeded", "status": "Unknown", "reason": "Starting"}]}
NO_FLOW: dict[str, Any] = {"conditions": [{"type": "Succeeded", "status": "Unknown", "reason": "FlowNotFound"}]}
STATES = {
    "unseen": Execution(UNSEEN),
    "unseen, held": Execution(HELD_UNSEEN),
    "Pending": execution("Pending"),
    "Created, held": execution("Created", paused=True),
    "Created, starting": execution("Created"),
    "Created, a step asked": Execution(
        {**HELD_UNSEEN, "status": {"phase": "Created", "executionID": "EX1", **STEP_ASKED}},
    ),
    "no flow": Execution({**UNSEEN, "status": {"phase": "Pending", **NO_FLOW}}),
    "no flow, to be held": Execution({**HELD_UNSEEN, "status": {"phase": "Pending", **NO_FLOW}}),
    "Running": execution("Running"),
    "Running, pause asked": execution("Running", paused=True),
    "Paused": execution("Paused", paused=True),
    "Paused, breakpoint": execution("Paused"),
    "Completed": execution("Completed"),
    "Completed, tree open": in_its_tree({}),
    "Completed, tree open, stopped": in_its_tree({"stop": True}),
    "Completed, tree open, goes on": in_its_tree({"children": {"onStop": "Continue"}}),
    "Failed": execution("Failed"),
    "Stopped": execution("Stopped"),
}
ENDS = {name for name, state in STATES.items() if state.finished}
ALLOWED = {
    "start": {"unseen, held", "Created, held", "Created, a step asked"},
    "pause": set(STATES) - {"unseen, held", "Created, held", "Paused", "Paused, breakpoint", *ENDS},
    "resume": {"Paused", "Paused, breakpoint", "Running, pause asked", "Created, a step asked", "no flow, to be held"},
    "step": {
        "unseen, held",
        "Created, held",
        "Created, a step asked",
        "Running, pause asked",
        "Paused",
        "Paused, breakpoint",
    },
    "stop": set(STATES) - ENDS | {"Completed, tree open"},
    "retry": {"Failed", "Stopped"},
}


@pytest.mark.parametrize("verb", ALLOWED)
def test_guard_allows_a_verb_only_in_suitable_states(verb: str) -> None:
    assert {name for name, state in STATES.items() if guards.GUARDS[verb](state) is None} == ALLOWED[verb]


@pytest.mark.parametrize("verb", ALLOWED)
def test_guard_suggests_only_allowed_verbs(verb: str) -> None:
    for name, state in STATES.items():
        refusal = guards.GUARDS[verb](state)
        if refusal is not None and refusal.instead:
            suggested, target = refusal.instead
            assert target == "one"
            assert guards.GUARDS[suggested](state) is None, f"{verb} of {name} suggests {suggested}"


@pytest.mark.parametrize("verb", ALLOWED)
def test_likely_state_of_a_verb_satisfies_its_guard(verb: str) -> None:
    likely = guards.LIKELY[verb]
    matching = [
        state
        for state in STATES.values()
        if state.item.get("status", {}).get("phase") == likely["/status/phase"]
        and likely.get("/spec/paused", state.pause_requested) == state.pause_requested
    ]
    assert matching
    assert all(guards.GUARDS[verb](state) is None for state in matching)


def test_every_phase_of_the_api_is_among_the_states() -> None:
    assert {state.phase for state in STATES.values()} == set(ExecutionPhase)
