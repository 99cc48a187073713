"""What an HTTP node sends and reads: the right URL, header fields, form and charset."""

from __future__ import annotations

import codecs
import json
from typing import Any
from urllib.parse import parse_qsl

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from chaingraph_flow.errors import NodeFailed, UnreadableText
from chaingraph_flow.nodes.http_request import url_of
from chaingraph_flow.reading import encoded, text_of_body
from fixtures.flows.http_server import RawServer, answer, raw_server
from fixtures.flows.runs import failure_of, outputs_of, run_flow


@pytest.mark.parametrize(
    ("base", "path", "query", "url"),
    [
        ("http://h/api?key=k1", "items", {"a": 1}, "http://h/api/items?key=k1&a=1"),
        ("http://h/api/?key=k1", "/items/", {}, "http://h/api/items/?key=k1"),
        ("http://h?key=k1", "items", {}, "http://h/items?key=k1"),
        ("http://h", "", {"a": "b c&d"}, "http://h?a=b+c%26d"),
        ("http://h/", "", {}, "http://h/"),
        ("http://h/api/", "", {}, "http://h/api/"),
        ("http://h/api", "/", {}, "http://h/api/"),
        ("http://h/api", "?x=1", {}, "http://h/api?x=1"),
        ("http://h/api?key=k1&x=0", "items?x=1&x=2", {}, "http://h/api/items?key=k1&x=1&x=2"),
        ("http://h/api?x=0&key=a%20b+c%2Fd", "items", {"x": True}, "http://h/api/items?key=a%20b+c%2Fd&x=true"),
        ("http://h/api?a=1&a=2", "", {"b": None, "c": False}, "http://h/api?a=1&a=2&c=false"),
        ("http://h/api?a=1", "", {"a": None}, "http://h/api?a=1"),
        ("http://h/api?", "i?", {"n": 1.0, "e": 1e21, "z": ""}, "http://h/api/i?n=1.0&e=1e%2B21&z="),
        ("http://h/api#part", "items#other", {"a": 0}, "http://h/api/items?a=0"),
        ("http://h/api?next=/x?y#z", "items", {}, "http://h/api/items?next=/x?y"),
        ("http://h/api?flag&x", "items", {"x": 1}, "http://h/api/items?flag&x=1"),
        ("https://u:p%40w@h:8443/v1?k=1", "i", {}, "https://u:p%40w@h:8443/v1/i?k=1"),
        ("http://h/a", "b%2Fc/ü d", {}, "http://h/a/b%2Fc/%C3%BC%20d"),
        ("http://h/a", "https://evil.example/x", {}, "http://h/a/https://evil.example/x"),
        ("http://h", "//evil.example/x", {}, "http://h/evil.example/x"),
        ("http://[::1]:80/a?b", "c", {}, "http://[::1]/a/c?b"),
    ],
)
def test_url_is_made_of_base_path_and_query(base: str, path: str, query: dict[str, Any], url: str) -> None:
    assert str(url_of(base, path, query)) == url


NAMES = st.text(max_size=5)
SIMPLE = st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.text(max_size=8)


@given(
    st.dictionaries(NAMES, SIMPLE),
    st.lists(st.sampled_from("abc"), max_size=3),
    st.sampled_from(["", "/", "x", "/x?c=9"]),
)
@settings(max_examples=100)
def test_every_parameter_comes_once_as_it_is(query: dict[str, Any], base: list[str], path: str) -> None:
    url = url_of("http://h/v1" + ("?" if base else "") + "&".join(f"{name}=0" for name in base), path, query)
    expected = [(name, "0") for name in base if query.get(name) is None and not (name == "c" and "c=9" in path)]
    expected += [("c", "9")] if "c=9" in path and query.get("c") is None else []
    expected += [
        (name, value if isinstance(value, str) else json.dumps(value))
        for name, value in query.items()
        if value is not None
    ]
    assert parse_qsl(url.query.decode(), keep_blank_values=True) == expected
    assert url.host == "h"
    assert url.path == {"": "/v1", "/": "/v1/"}.get(path, "/v1/x")


@pytest.fixture
def server() -> Any:
    with raw_server() as found:
        yield found


async def test_null_from_an_edge_is_left_out_of_headers_query_and_form(server: RawServer) -> None:
    await run_flow(f"""
        inputs: [{{name: tag, type: string}}]
        nodes:
        - id: it
          type: HTTP
          inputs:
            baseUri: "{server.url}/x?k=1"
            method: POST
            headers: {{X-On: true, X-Num: 1.0, content-type: application/x-www-form-urlencoded}}
            body: {{yes_: true, n: 1.5, text: "a b&c", none: null}}
        edges:
        - {{from: inputs.tag, to: it.headers.If-None-Match}}
        - {{from: inputs.tag, to: it.query.tag}}
        - {{from: inputs.tag, to: it.body.tag}}
    """)
    (request,) = server.requests
    assert request.line == "POST /x?k=1 HTTP/1.1"
    assert request.body == b"yes_=true&n=1.5&text=a+b%26c"
    assert (request.headers["x-on"], request.headers["x-num"]) == ("true", "1.0")
    assert request.headers["content-type"] == "application/x-www-form-urlencoded"
    assert "if-none-match" not in request.headers


@pytest.mark.parametrize(
    ("content_type", "body", "sent"),
    [
        (None, {"a": "ü"}, '{"a":"ü"}'.encode()),
        ("application/vnd.api+json; charset=iso-8859-1", {"a": "ü"}, '{"a":"ü"}'.encode("latin-1")),
        ("text/plain; charset=ISO-8859-15", "5 €", "5 €".encode("iso-8859-15")),
        ("text/plain", "5 €", "5 €".encode()),
        (None, [None, True, 1.0], b"[null,true,1.0]"),
        (None, False, b"false"),
        (None, None, b""),
    ],
)
async def test_body_is_sent_in_its_charset(server: RawServer, content_type: str | None, body: Any, sent: bytes) -> None:
    await outputs_of("HTTP", baseUri=server.url, method="POST", headers={"CONTENT-TYPE": content_type}, body=body)
    (request,) = server.requests
    assert request.body == sent
    assert [name for name in request.headers if name == "content-type"] == ([] if body is None or (
        isinstance(body, str) and content_type is None) else ["content-type"])  # fmt: skip


TEXTS = {
    "ISO-8859-15": '{"name": "Zürich", "price": "5 €"}',
    "GBK": '{"name": "苏黎世"}',
    "gb2312": '{"name": "镕"}',  # in GBK alone: pages that say gb2312 have it
    "Shift_JIS": '{"name": "チューリッヒ"}',
    "koi8-r": '{"name": "Цюрих"}',
    "windows-1252": '{"name": "“Zürich”"}',
    "utf-16": '{"name": "Zürich 😀"}',
    "utf-16le": '{"name": "Zürich 😀"}',
    "UTF-16BE": '{"name": "Zürich 😀"}',
    "utf-32": '{"name": "Zürich 😀"}',
    "utf-8": '{"name": "Zürich 😀"}',
    "utf-8-sig": '{"name": "Zürich 😀"}',
}


@pytest.mark.parametrize("charset", TEXTS)
@pytest.mark.parametrize("form", ["application/json; charset={}", 'text/json;x-charset=nope; CHARSET = "{}"; q=1'])
async def test_response_is_read_in_the_charset_that_it_names(server: RawServer, charset: str, form: str) -> None:
    text = TEXTS[charset]
    content = text.encode("gbk" if charset == "gb2312" else charset)
    server.answers["/"] = answer(content, f"Content-Type: {form.format(charset)}")
    assert (await outputs_of("HTTP", baseUri=server.url))["response"] == json.loads(text)
    assert (await outputs_of("HTTP", baseUri=server.url, responseType="text"))["response"] == text


@pytest.mark.parametrize("codec", ["utf-8-sig", "utf-16", "utf-32", "utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"])
@pytest.mark.parametrize("named", ["", "; charset=iso-8859-1"])
def test_mark_or_first_bytes_say_the_charset_of_json(codec: str, named: str) -> None:
    text = '{"name": "Zürich"}'
    content = text.encode(codec)
    if content.startswith((b"{", b"\0")) and named:
        return  # without a mark the named charset is the right one
    assert text_of_body(content, f"application/json{named}", "it", of_json=True) == text


MARKS = (codecs.BOM_UTF8, codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE, codecs.BOM_UTF32_BE)


@given(
    st.text(), st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-32", "utf-16-be", "gb18030", "latin-1", "cp932"])
)
@example("\0", "utf-16")
@example("\xa2", "cp932")
@example("\xfe\xff", "latin-1")
@settings(max_examples=150)
def test_texts_come_back_from_every_charset(text: str, charset: str) -> None:
    if text.startswith("\ufeff"):
        return
    try:
        content = text.encode(charset)
    except UnicodeEncodeError:
        with pytest.raises(UnreadableText, match="has no character"):
            encoded(text, f"text/plain; charset={charset}", "the body")
        return
    if charset in ("latin-1", "cp932") and content.startswith(MARKS):
        return
    if content.decode(charset) != text:
        return  # cp932 writes two characters, "\xa2" and "\uffe0", as the same bytes
    assert text_of_body(content, f"text/plain; charset={charset}", "it", of_json=False) == text


@pytest.mark.parametrize(
    ("content", "content_type", "said"),
    [
        (b"{}", "application/json; charset=nope", "the response: unknown charset 'nope'"),
        (b"{}", "application/json; charset=base64", "unknown charset 'base64'"),
        (b"{}", "application/json; charset=" + "x" * 60, "unknown charset a string of 60 characters"),
        (b'{"a": "\xff"}', "application/json", "the response is not valid utf-8: byte 7"),
        (b'{"a": "\xff"}', "application/json; charset=gbk", "the response is not valid gb18030: byte 7"),
        ("{}".encode("utf-16-le")[:3], "application/json; charset=utf-16le", "not valid utf_16_le"),
    ],
)
async def test_bytes_of_no_charset_are_a_named_failure(
    server: RawServer, content: bytes, content_type: str, said: str
) -> None:
    server.answers["/"] = answer(content, f"Content-Type: {content_type}")
    assert said in await failure_of("HTTP", baseUri=server.url)
    server.answers["/"] = answer(content, f"Content-Type: {content_type}", status="404 Not Found")
    assert (await outputs_of("HTTP", baseUri=server.url, failOnStatus=False))["response"] is None


@pytest.mark.parametrize("port", ["query", "headers", "body"])
async def test_lists_name_their_port_and_field(server: RawServer, port: str) -> None:
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    inputs: dict[str, Any] = {"method": "POST", "headers": form, port: {"a": [1]} if port != "headers" else {"a": {}}}
    said = await failure_of("HTTP", baseUri=server.url, **inputs)
    assert said == f"{port}: 'a' must be a text, a number or a boolean"
    assert not server.requests


def test_no_url_is_named_without_its_content() -> None:
    for base in ("x", "ftp://h/secret", "http://", "//h/secret", "", "http://h:port/secret"):
        with pytest.raises(NodeFailed) as caught:
            url_of(base, "p", {})
        assert "secret" not in str(caught.value)
