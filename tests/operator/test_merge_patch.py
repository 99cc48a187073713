"""Merge patches: the difference, applied, gives what was wanted."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from chaingraph_operator.kube.merge_patch import apply, difference, storable

values = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.floats(0, 2) | st.text("ab", max_size=2),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=10,
)
objects = st.dictionaries(st.sampled_from("abc"), values, max_size=3).map(storable)


@given(before=objects, after=objects)
def test_difference_applied_yields_the_target(before: dict[str, Any], after: dict[str, Any]) -> None:
    result = apply(before, difference(before, after))
    assert result == after
    assert repr(sorted(result)) == repr(sorted(after))


@given(value=objects)
def test_difference_to_itself_is_empty(value: dict[str, Any]) -> None:
    assert difference(value, value) == {}


def test_difference_distinguishes_true_from_one() -> None:
    assert difference({"a": 1, "b": [0]}, {"a": True, "b": [False]}) == {"a": True, "b": [False]}


def test_difference_nulls_removed_keys_and_merges_nested_ones() -> None:
    before = {"error": {"node": "a", "message": "m"}, "nodes": {"total": 3, "running": 1}, "worker": "w"}
    after = {"error": {"message": "m"}, "nodes": {"total": 3, "running": 0}}
    assert difference(before, after) == {"error": {"node": None}, "nodes": {"running": 0}, "worker": None}


def test_nulls_in_objects_cannot_be_stored() -> None:
    assert storable({"a": None, "b": {"c": None}, "d": [None]}) == {"b": {}, "d": [None]}
