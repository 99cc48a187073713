"""The plan for tokens that are put back, and for generations before and after the observed one."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given

from chaingraph_crds.execution import ExecutionSpec
from chaingraph_crds.execution_status import ExecutionPhase
from chaingraph_operator.decide.plan import (
    FlowView,
    Nothing,
    ObjectMeta,
    ObserveGeneration,
    RefuseRetry,
    UpdateControl,
    plan,
)
from chaingraph_store.commands.tokens import TokenKind
from chaingraph_store.executions import ExecutionRow
from fixtures.cluster.execution_cases import ID, META, UNSEEN, flows, row_of, rows, spec_of, specs

USED = ["step:s0", "resume:g0", "retry:r0"]
TOKENS = {TokenKind.STEP: "s0", TokenKind.RESUME: "g0", TokenKind.RETRY: "r0"}
PUT_BACK: dict[str, Any] = {"step": "s0", "resume": "g0", "retry": {"token": "r0"}}


def at(generation: int) -> ObjectMeta:
    return replace(META, generation=generation)


@pytest.mark.parametrize("phase", [*ExecutionPhase])
def test_reused_tokens_trigger_nothing_and_stay_known(phase: str) -> None:
    row = row_of(phase, used_tokens=USED, observed_generation=4)
    assert plan(spec_of(**PUT_BACK), at(4), UNSEEN, row, None) == Nothing()
    assert plan(spec_of(**PUT_BACK), at(5), UNSEEN, row, None) == ObserveGeneration(ID, 5, 4, TOKENS)


def test_a_token_of_another_kind_is_a_new_one() -> None:
    row = row_of("Paused", used_tokens=USED)
    assert isinstance(plan(spec_of(step="g0"), META, UNSEEN, row, None), UpdateControl)
    assert isinstance(plan(spec_of(retry={"token": "s0"}), META, UNSEEN, row, None), RefuseRetry)


@pytest.mark.parametrize("phase", [*ExecutionPhase])
def test_edit_without_effect_is_recorded_once(phase: str) -> None:
    row = row_of(phase, observed_generation=2)
    assert plan(spec_of(), at(3), UNSEEN, row, None) == ObserveGeneration(ID, 3, 2, dict.fromkeys(TokenKind, ""))
    assert plan(spec_of(), at(3), UNSEEN, replace(row, observed_generation=3), None) == Nothing()


def test_creation_generation_needs_no_record() -> None:
    """Rows that were there before generations were kept, and children, have none."""
    assert plan(spec_of(), at(1), UNSEEN, row_of("Running"), None) == Nothing()
    assert isinstance(plan(spec_of(), at(2), UNSEEN, row_of("Running"), None), ObserveGeneration)


@given(spec=specs, row=rows, flow=flows)
def test_spec_older_than_the_ledgers_is_read_again_first(
    spec: ExecutionSpec, row: ExecutionRow | None, flow: FlowView
) -> None:
    if row is not None:
        ahead = replace(row, observed_generation=3)
        decision = plan(spec, at(2), UNSEEN, ahead, flow)
        assert isinstance(decision, ObserveGeneration)
        assert (decision.generation, decision.seen) == (2, 3)
