"""Merge patches: the difference, applied, gives what was wanted."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from chaingraph_operator.merge_patch import apply, difference, storable

values = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.floats(0, 2) | st.text("ab", max_size=2),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=10,
)
objects = st.dictionaries(st.sampled_from("abc"), values, max_size=3).map(storable)


@given(before=objects, after=objects)
def test_the_difference_makes_the_one_into_the_other(before: dict[str, Any], after: dict[str, Any]) -> None:
    result = apply(before, difference(before, after))
    assert result == after
    assert repr(sorted(result)) == repr(sorted(after))


@given(value=objects)
def test_there_is_no_difference_to_itself(value: dict[str, Any]) -> None:
    assert difference(value, value) == {}


def test_true_is_not_one() -> None:
    assert difference({"a": 1, "b": [0]}, {"a": True, "b": [False]}) == {"a": True, "b": [False]}


def test_what_is_gone_is_removed_and_nested_objects_are_merged() -> None:
    before = {"error": {"node": "a", "message": "m"}, "nodes": {"total": 3, "running": 1}, "worker": "w"}
    after = {"error": {"message": "m"}, "nodes": {"total": 3, "running": 0}}
    assert difference(before, after) == {"error": {"node": None}, "nodes": {"running": 0}, "worker": None}


def test_nulls_in_objects_cannot_be_stored() -> None:
    assert storable({"a": None, "b": {"c": None}, "d": [None]}) == {"b": {}, "d": [None]}
