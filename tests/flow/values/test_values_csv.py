"""CSV texts: line ends, byte order marks, long fields, and errors that name the line of the file."""

from __future__ import annotations

import csv
import io
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fixtures.flows.http_server import answer, raw_server
from fixtures.flows.runs import failure_of, outputs_of, run_flow

NUMBER = {"type": "object", "properties": {"n": "number"}}
FIELD = st.text(alphabet='ab;,"\n\r \u2028\x0b\x85é', max_size=6)
END = st.sampled_from(["\n", "\r\n", "\r"])


def written(rows: list[list[str]], end: str, delimiter: str) -> str:
    out = io.StringIO(newline="")
    csv.writer(out, delimiter=delimiter, lineterminator=end, quoting=csv.QUOTE_ALL).writerows(rows)
    return out.getvalue()


@given(st.lists(st.tuples(FIELD, FIELD), max_size=5), END, st.sampled_from(",;\t|"), st.booleans())
@settings(max_examples=60, deadline=None)
async def test_written_rows_are_read_back(rows: list[tuple[str, str]], end: str, delimiter: str, marked: bool) -> None:
    text = "\ufeff" * marked + written([["a", "b"], *map(list, rows)], end, delimiter)
    found = await outputs_of("CSVRead", text=text, delimiter=delimiter)
    assert found["rows"] == [{"a": a, "b": b} for a, b in rows]


@given(st.lists(FIELD | st.none(), max_size=5), END)
@settings(max_examples=60, deadline=None)
async def test_error_names_the_line_of_the_file(before: list[str | None], end: str) -> None:
    """Whatever stands before: quoted line ends, blank lines (None) or plain fields."""
    text = written([["n", "text"]], end, ",")
    for each in before:
        text += end if each is None else written([["1", each]], end, ",")
    line = text.replace("\r\n", "\n").replace("\r", "\n").count("\n") + 1
    said = await failure_of("CSVRead", text=f"{text}x,y{end}", schema=NUMBER)
    assert said == f"line {line}: n must be a number, is 'x'"
    said = await failure_of("CSVRead", text=f'{text}1,"y{end}2,z{end}', schema=NUMBER)
    assert said == f"line {line}: is not CSV: a quote is opened and not closed"


@pytest.mark.parametrize(
    ("text", "inputs", "said"),
    [
        ("a,n\nx,1\n\n\ny,many\n", {}, "line 5: n must be a number"),
        ('a;n;q\nx;1;"quoted\nentry with\nends"\ny;12x;plain\n', {"delimiter": ";"}, "line 5: n must be a number"),
        ('n\n1\n"2"x\n', {}, "line 3: is not CSV"),
        ("n\r1\r\r2,3", {}, "line 4: has 2 fields for 1 columns"),
        ("n\n1", {"delimiter": '"'}, "delimiter: '\"' cannot separate columns"),
        ("n\n1", {"delimiter": "\n"}, "delimiter: '\\n' cannot separate columns"),
    ],
)
async def test_csv_error_names_line_and_cause(text: str, inputs: dict[str, Any], said: str) -> None:
    assert said in await failure_of("CSVRead", text=text, schema=NUMBER, **inputs)


async def test_long_field_is_read_whole() -> None:
    found = await outputs_of("CSVRead", text="a,b\n" + "x" * 300_000 + ',"' + "y\n" * 100_000 + '"\n')
    assert [len(each) for each in found["rows"][0].values()] == [300_000, 200_000]


@pytest.mark.parametrize(("codec", "named"), [("utf-8-sig", "utf-8"), ("utf-16", ""), ("iso-8859-15", "iso-8859-15")])
async def test_csv_of_a_response_has_no_mark_in_its_first_column(codec: str, named: str) -> None:
    with raw_server() as server:
        content = "col_a;col_b\r\n1;zürich\r\n".encode(codec)
        server.answers["/"] = answer(content, f"Content-Type: text/csv{'; charset=' + named if named else ''}")
        found = await run_flow(f"""
            nodes:
            - {{id: get, type: HTTP, inputs: {{baseUri: "{server.url}", responseType: text}}}}
            - {{id: it, type: CSVRead, inputs: {{delimiter: ";"}}}}
            edges: [{{from: get.response, to: it.text}}]
        """)
    assert found.recorder.of("it").outputs["rows"] == [{"col_a": "1", "col_b": "zürich"}]


async def test_json_read_leaves_the_mark_out() -> None:
    assert await outputs_of("JSONRead", text='\ufeff{"a": 1}') == {"value": {"a": 1}}
