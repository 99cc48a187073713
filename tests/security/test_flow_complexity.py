"""Threat: a Flow that is small to write and endless to check. Each is checked in little work, with an answer."""

from __future__ import annotations

import random
import string
import time
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chaingraph_crds.flow import FlowSpec
from chaingraph_flow.field_errors import LONGEST_MESSAGE, LONGEST_PATH, MOST_ERRORS, ErrorCode, similar
from chaingraph_flow.ports.inference import infer, union
from chaingraph_flow.ports.patterns import LARGEST_PATTERN, Matchers, PatternRefused, cost
from chaingraph_flow.ports.types import AnyPortType, Array, Number, Object, String, accepts, check_value
from chaingraph_flow.registry import Registry
from chaingraph_flow.revision import revision
from chaingraph_flow.validation.validation import validate

CATALOGUE = Registry.discover().catalogue
BUDGET = 2.0
"""CPU seconds, the operator's default. What was fixed took minutes or for ever, and takes a tenth of this now."""


def stale_edges(nodes: int = 500, edges: int = 400, *, letters: int = 61, seed: int = 1) -> dict[str, Any]:
    """What a generator with stale edges writes: none of the ids in its edges exists."""
    draw = random.Random(seed)

    def name() -> str:
        return "".join(draw.choices(string.ascii_lowercase, k=letters))

    return {
        "nodes": [{"id": name(), "type": "Object"} for _ in range(nodes)],
        "edges": [{"from": f"{name()}.value", "to": f"{name()}.value"} for _ in range(edges)],
    }


def doubled(levels: int = 32, *, last: str = "Join") -> dict[str, Any]:
    """Two chains of objects, each of which uses the one before twice, brought together at their ends."""
    nodes: list[dict[str, Any]] = []
    edges: list[dict[str, Any]] = []
    for chain in "lr":
        nodes.append({"id": f"{chain}0", "type": "Object", "inputs": {"value": {"x": 1}}})
        for level in range(1, levels):
            nodes.append({"id": f"{chain}{level}", "type": "Object"})
            for part in "ab":
                edges.append({"from": f"{chain}{level - 1}.value", "to": f"{chain}{level}.value.{part}"})
    nodes.append({"id": "end", "type": last})
    ports = ("value.a", "value.b") if last == "Object" else ("a", "b")
    for chain, port in zip("lr", ports, strict=True):
        edges.append({"from": f"{chain}{levels - 1}.value", "to": f"end.{port}"})
    return {"nodes": nodes, "edges": edges}


def many_patterns(count: int = 180, pattern: str = r"\w{180}x") -> dict[str, Any]:
    properties = {f"p{index}": {"type": "string", "pattern": f"{pattern}{index}"} for index in range(count)}
    return {
        "nodes": [
            {
                "id": "cast",
                "type": "Cast",
                "inputs": {"value": {}, "schema": {"type": "object", "properties": properties}},
            }
        ]
    }


def differing_objects(count: int = 3000) -> dict[str, Any]:
    return {"nodes": [{"id": "a", "type": "Array", "inputs": {"value": [{f"k{n}": n} for n in range(count)]}}]}


def cycles(nodes: int = 500) -> dict[str, Any]:
    """As many cycles as there can be: each node with each of the next two, and back."""
    ids = [f"n{index}" for index in range(nodes)]
    pairs = [(a, b) for step in (1, 2) for a, b in zip(ids, ids[step:], strict=False)]
    edges = [{"from": f"{a}.value", "to": f"{b}.value.{a}"} for a, b in pairs + [(b, a) for a, b in pairs]]
    return {"nodes": [{"id": each, "type": "Object"} for each in ids], "edges": edges[:2000]}


def one_port(edges: int = 2000) -> dict[str, Any]:
    """All edges into one object."""
    nodes = [{"id": "s", "type": "Object"}, {"id": "t", "type": "Object"}]
    return {"nodes": nodes, "edges": [{"from": "s.value", "to": f"t.value.k{n}"} for n in range(edges)]}


def nested_by_edges(levels: int = 490) -> dict[str, Any]:
    """A value that gets one level deeper with each node: deeper than any value may be."""
    nodes = [{"id": f"n{level}", "type": "Object"} for level in range(levels)]
    edges = [{"from": f"n{level - 1}.value", "to": f"n{level}.value.in"} for level in range(1, levels)]
    return {"nodes": nodes, "edges": edges}


def wrong_options(count: int = 20_000) -> dict[str, Any]:
    schema = {"type": "array", "items": {"type": "enum", "options": [f"option {n}" for n in range(count)]}}
    return {"nodes": [{"id": "c", "type": "Array", "inputs": {"value": ["x"] * count, "schema": schema}}]}


ATTACKS: dict[str, Callable[[], dict[str, Any]]] = {
    "stale edges": stale_edges,
    "stale edges of other lengths": lambda: stale_edges(500, 2000, letters=40, seed=2),
    "doubled types, joined": doubled,
    "doubled types, compared": lambda: doubled(last="Object"),
    "doubled types, merged": lambda: doubled(last="Merge"),
    "many large patterns": many_patterns,
    "one pattern in a thousand spellings": lambda: many_patterns(1000, "a"),
    "nested repetitions": lambda: many_patterns(150, r"((a{50}){50}){50}"),
    "differing objects": differing_objects,
    "cycles": cycles,
    "one port": one_port,
    "nested by edges": nested_by_edges,
    "wrong options": wrong_options,
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_costly_flow_is_checked_within_the_budget(attack: str) -> None:
    spec = FlowSpec.model_validate(ATTACKS[attack]())
    began = time.process_time()
    errors = validate(spec, CATALOGUE)
    assert time.process_time() - began < BUDGET
    assert len(errors) <= MOST_ERRORS + 1
    assert all(len(each.path) <= LONGEST_PATH and len(each.message) <= LONGEST_MESSAGE for each in errors)


def test_errors_beyond_the_limit_are_counted() -> None:
    errors = validate(FlowSpec.model_validate(stale_edges()), CATALOGUE)
    assert errors[-1].message == "700 more errors. Fix the listed ones first"
    assert {each.code for each in errors} == {ErrorCode.UNKNOWN_NODE}


def test_similar_name_is_suggested_for_the_first_errors_only() -> None:
    nodes = [{"id": f"fetch-number-{n}", "type": "Object"} for n in range(30)]
    edges = [{"from": f"fetch-numbr-{n}.value", "to": f"fetch-number-{n}.value"} for n in range(20)]
    errors = validate(FlowSpec.model_validate({"nodes": nodes, "edges": edges}), CATALOGUE)
    assert [("did you mean 'fetch-number-" in each.message) for each in errors] == [True] * 5 + [False] * 15


def test_large_patterns_are_refused_with_their_limit() -> None:
    errors = {each.path: each for each in validate(FlowSpec.model_validate(many_patterns(1)), CATALOGUE)}
    error = errors["spec.nodes[0].inputs.schema.properties.p0.pattern"]
    assert "is too large: with its repetitions it takes about 13500 kB, the limit is 6000" in error.message
    [error] = validate(FlowSpec.model_validate(many_patterns(51, "a")), CATALOGUE)
    assert "more than 50 patterns" in error.message
    [error] = validate(FlowSpec.model_validate(many_patterns(20, r"[a-z]{9999}")), CATALOGUE)
    assert "too large together" in error.message


@pytest.mark.parametrize("place", ["default", "input", "schema"])
@pytest.mark.parametrize("inside", ["lists", "objects"])
def test_deep_values_are_refused_by_their_place(place: str, inside: str) -> None:
    value: Any = 1
    for _ in range(101):
        value = [value] if inside == "lists" else {"a": value}
    node: dict[str, Any] = {"id": "n", "type": "Object", "inputs": {}}
    spec: dict[str, Any] = {"nodes": [node]}
    if place == "default":
        spec["inputs"] = [{"name": "i", "default": value}]
    else:
        node["inputs"]["value" if place == "input" else "schema"] = value
    [error] = validate(FlowSpec.model_validate(spec), CATALOGUE)
    assert error.code is ErrorCode.TOO_DEEP
    assert "nested deeper than 100 levels" in error.message
    assert error.path == {"default": "spec.inputs[0].default"}.get(
        place, f"spec.nodes[0].inputs.{'value' if place == 'input' else 'schema'}"
    )


def test_matching_beyond_a_bounded_amount_of_work_is_refused() -> None:
    slow = String(pattern="[01]*1[01]{20000}x")
    began = time.process_time()
    [error] = check_value(slow, "01" * 75_000, "value")
    assert time.process_time() - began < BUDGET
    assert error.message == "has 150000 characters; its pattern supports at most 9998"


@given(
    st.recursive(
        st.sampled_from(["a", r"\w", r"\d", ".", "[a-z]", r"[^\w]", "é", r"\pL", r"[\w-]", "(?i)k", "[]a]", r"\b"]),
        lambda inner: st.one_of(
            st.tuples(inner, st.integers(1, 400)).map(lambda each: f"(?:{each[0]}){{{each[1]}}}"),
            st.tuples(inner, st.integers(1, 400)).map(lambda each: f"({each[0]}){{0,{each[1]}}}"),
            st.tuples(inner, inner).map("|".join),
            st.tuples(inner, inner).map("".join),
            inner.map(lambda each: f"(?:{each})*"),
        ),
        max_leaves=6,
    )
)
@settings(max_examples=60, deadline=None)
def test_no_pattern_compiles_beyond_its_estimate(pattern: str) -> None:
    """Beyond 10 MB, pydantic-core itself refuses: an estimate that errs downwards would be seen by that."""
    try:
        estimate = cost(pattern).size
    except PatternRefused:
        return
    assert estimate <= LARGEST_PATTERN
    refusal = ""
    try:
        Matchers().get(pattern)
    except PatternRefused as refused:
        refusal = str(refused)
    assert "size limit" not in refusal


def test_kept_patterns_are_bounded_in_number_and_size() -> None:
    matchers = Matchers(most=5, size=30_000)
    for number in range(20):
        matchers.get(f"a{number}")
    assert len(matchers) == 5
    for number in range(4):
        matchers.get(f"[a-z]{{6000}}{number}")
    assert matchers.size <= 30_000


NAMES = st.sampled_from(["a", "b", "c"])


def types(depth: int = 3) -> st.SearchStrategy[AnyPortType]:
    flat: st.SearchStrategy[AnyPortType] = st.sampled_from([String(), Number(), String(max_length=3)])
    if not depth:
        return flat
    inner = types(depth - 1)
    return st.one_of(
        flat,
        inner.map(lambda each: Array(items=each)),
        st.dictionaries(NAMES, inner, max_size=3).map(lambda each: Object(properties=each)),
    )


@given(st.lists(types(), min_size=1, max_size=6))
@settings(max_examples=60, deadline=None)
def test_union_takes_in_each_of_its_types(found: list[AnyPortType]) -> None:
    whole = union(found)
    assert all(accepts(whole, each) is None for each in found)
    assert union([*found, whole]) == union([whole, whole]) or whole.type == "any"


@given(types(), types())
@settings(max_examples=60, deadline=None)
def test_types_are_equal_as_their_json_is(one: AnyPortType, other: AnyPortType) -> None:
    assert (one == other) == (one.to_json() == other.to_json())
    assert one != one.model_copy(update={"nullable": True})


@given(st.integers(10, 200), st.integers(1, 3))
@settings(max_examples=10, deadline=None)
def test_shared_parts_cost_no_more_than_their_number(levels: int, copies: int) -> None:
    def chain() -> AnyPortType:
        here: AnyPortType = Number()
        for level in range(min(levels, 100)):
            here = Object(properties={f"p{level}-{copy}": here for copy in range(copies + 1)})
        return here

    left, right = chain(), chain()
    began = time.process_time()
    assert left == right
    assert accepts(left, right) is None
    assert union([left, right, Object(properties={"other": String()})]).type == "object"
    assert time.process_time() - began < BUDGET


def test_inference_of_differing_objects_reads_each_once() -> None:
    found = infer([{f"k{n}": n, "same": "x"} for n in range(2000)])
    assert isinstance(found, Array)
    assert isinstance(found.items, Object)
    assert found.items.properties is not None
    assert len(found.items.properties) == 2001
    assert not found.items.properties["same"].nullable
    assert found.items.properties["k7"].nullable


@given(st.text(max_size=300), st.lists(st.text(max_size=300), max_size=30))
@settings(max_examples=40, deadline=None)
def test_similar_names_are_known_names(name: str, known: list[str]) -> None:
    assert set(similar(name, known, most=3)) <= set(known)


node_ids = st.integers(0, 12).map(lambda number: f"n{number}")


@given(
    st.lists(
        st.fixed_dictionaries(
            {"id": node_ids, "type": st.sampled_from(["Object", "Array", "Join", "Merge", "Cast", "Nope"])},
            optional={
                "inputs": st.dictionaries(
                    st.sampled_from(["value", "schema", "a", "b"]),
                    st.recursive(
                        st.none() | st.integers(-9, 9) | st.sampled_from(["any", "string", "pattern", "object"]),
                        lambda inner: (
                            st.lists(inner, max_size=4)
                            | st.dictionaries(
                                st.sampled_from(["type", "items", "properties", "pattern", "a"]), inner, max_size=4
                            )
                        ),
                        max_leaves=12,
                    ),
                    max_size=3,
                )
            },
        ),
        min_size=1,
        max_size=13,
    ),
    st.lists(
        st.tuples(node_ids, node_ids, st.sampled_from(["value", "result", "a", "b", "value.x", "value[3].y"])),
        max_size=40,
    ),
)
@settings(max_examples=100, deadline=None)
def test_any_small_flow_is_checked_in_milliseconds(
    nodes: list[dict[str, Any]], pairs: list[tuple[str, str, str]]
) -> None:
    """What the operator checks in its own process (`validator.SMALL`): bounded work, whatever it says."""
    edges = [{"from": f"{source}.value", "to": f"{target}.{port}"} for source, target, port in pairs]
    spec = FlowSpec.model_validate({"nodes": nodes, "edges": edges})
    began = time.process_time()
    validate(spec, CATALOGUE)
    revision(spec)
    assert time.process_time() - began < BUDGET / 4
