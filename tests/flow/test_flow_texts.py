"""Split and join texts."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chaingraph_flow import EngineOptions, FlowOutcome, Limits
from fixtures.flows.runs import failure_of, outputs_of, run_flow


@pytest.mark.parametrize(
    ("inputs", "items"),
    [
        ({"text": "a, b,,c "}, ["a", "b", "", "c"]),
        ({"text": "a, b,,c ", "dropEmpty": True}, ["a", "b", "c"]),
        ({"text": "a, b", "trim": False}, ["a", " b"]),
        ({"text": " , ", "trim": False, "dropEmpty": True}, [" ", " "]),
        ({"text": "a\nb\r\nc", "separator": "\n"}, ["a", "b", "c"]),
        ({"text": " a \t b\n", "separator": ""}, ["a", "b"]),
        ({"text": "a::b", "separator": "::"}, ["a", "b"]),
        ({"text": ""}, [""]),
        ({"text": "", "dropEmpty": True}, []),
        ({"text": "", "separator": ""}, []),
    ],
)
async def test_split_text(inputs: dict[str, Any], items: list[str]) -> None:
    assert await outputs_of("SplitText", **inputs) == {"items": items, "count": len(items)}


@pytest.mark.parametrize(
    ("inputs", "text"),
    [
        ({"items": ["a", "b"]}, "a,b"),
        ({"items": ["a", 1, 2.5, True], "separator": " / "}, "a / 1 / 2.5 / true"),
        ({"items": ["a", None, "", "b"], "dropEmpty": True}, "a,b"),
        ({"items": ["a", ""]}, "a,"),
        ({"items": []}, ""),
        ({"items": ["a", "b"], "separator": ""}, "ab"),
    ],
)
async def test_join_text(inputs: dict[str, Any], text: str) -> None:
    assert await outputs_of("JoinText", **inputs) == {"text": text}


@pytest.mark.parametrize(
    ("items", "message"),
    [
        (["a", None], "items[1] is null: it needs a text, a number or a boolean. Set `dropEmpty` to leave it out"),
        ([{"a": 1}], "items[0] is an object: it needs a text, a number or a boolean. Select a property with Pluck"),
        ([[1]], "items[0] is an array"),
    ],
)
async def test_join_text_failure_names_the_item(items: list[Any], message: str) -> None:
    assert message in await failure_of("JoinText", items=items)


@given(st.lists(st.text("ab \n"), min_size=1), st.sampled_from([",", "::", "\t"]))
async def test_split_undoes_join(items: list[str], separator: str) -> None:
    joined = await outputs_of("JoinText", items=items, separator=separator)
    split = await outputs_of("SplitText", text=joined["text"], separator=separator, trim=False)
    assert split["items"] == items


@pytest.mark.parametrize(
    ("node", "message"),
    [
        ('type: SplitText, inputs: {text: "%s"}' % ("," * 4000), "the list of all parts"),
        ('type: SplitText, inputs: {text: "%s", separator: ""}' % ("a " * 4000), "the list of all parts"),
        ('type: JoinText, inputs: {items: [a, b, c], separator: "%s"}' % ("-" * 6000), "the text has 12003 bytes"),
    ],
)
async def test_split_and_join_are_limited(node: str, message: str) -> None:
    options = EngineOptions(limits=Limits(value_bytes=10_000))
    result = (await run_flow(f"nodes: [{{id: a, {node}}}]", options=options)).result
    assert result.outcome is FlowOutcome.FAILED
    assert message in str(result.error)
    assert "CHAINGRAPH_MAX_VALUE_BYTES" in str(result.error)


async def test_parts_of_a_text_go_to_typed_ports() -> None:
    run = await run_flow("""
    nodes:
    - {id: split, type: SplitText, inputs: {text: "3;1;2", separator: ";"}}
    - {id: sort, type: Sort}
    - {id: join, type: JoinText, inputs: {separator: "-"}}
    edges: [{from: split.items, to: sort.items}, {from: sort.result, to: join.items}]
    outputs: [{name: text, from: join.text}]
    """)
    assert run.result.outputs == {"text": "1-2-3"}
