"""Ids: derived, so that a repetition finds what the first try made."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chaingraph_store.ids import ExecutionId, child_execution_id, execution_id, hold_workflow_id, workflow_id

UIDS = st.uuids().map(str)


@given(UIDS)
def test_execution_id_matches_its_format(uid: str) -> None:
    assert re.fullmatch(r"EX[A-Z2-7]{24}", execution_id(uid))


@given(UIDS)
def test_an_id_does_not_depend_on_the_case_of_the_uid(uid: str) -> None:
    assert execution_id(uid) == execution_id(uid.upper())


@given(st.lists(UIDS, min_size=2, max_size=20, unique=True), st.integers(0, 10_000))
def test_different_origins_have_different_ids(uids: list[str], emission: int) -> None:
    parents = [execution_id(uid) for uid in uids]
    children = [child_execution_id(parent, emission) for parent in parents]
    nephews = [child_execution_id(parent, emission + 1) for parent in parents]
    every = [*parents, *children, *nephews]
    assert len(set(every)) == len(every)


def test_workflow_id_has_suffix_after_first_run() -> None:
    execution = ExecutionId("EXABC")
    assert [workflow_id(execution, run) for run in (1, 2, 3)] == ["EXABC", "EXABC-2", "EXABC-3"]
    assert hold_workflow_id(execution) == "EXABC-hold"


def test_workflow_id_rejects_run_zero() -> None:
    with pytest.raises(ValueError, match="must be at least 1"):
        workflow_id(ExecutionId("EXABC"), 0)
