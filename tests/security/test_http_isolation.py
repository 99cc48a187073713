"""HTTP nodes: nothing of one execution reaches another, and nothing of a flow another origin than it names."""

from __future__ import annotations

import asyncio
import gzip
import zlib
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chaingraph_crds.flow import FlowSpec
from chaingraph_flow import EngineOptions, FailureReason, Limits
from chaingraph_flow.http_client import Unpacker
from fixtures.flows.http_server import RawServer, answer, raw_server
from fixtures.flows.runs import LOOPBACK, error_of, failure_of, outputs_of, run_flow

SECRET = "hunter2"
SMALL = EngineOptions(egress=LOOPBACK, limits=Limits(read_bytes=10_000))


@pytest.fixture
def server() -> Iterator[RawServer]:
    with raw_server() as found:
        yield found


@pytest.fixture
def other() -> Iterator[RawServer]:
    with raw_server() as found:
        yield found


def redirect(to: str, status: int) -> bytes:
    return answer(b"", f"Location: {to}", status=f"{status} Elsewhere")


# -- cookies and connections ------------------------------------------------------------------------------------


async def test_cookies_reach_no_other_request(server: RawServer) -> None:
    server.answers["/set"] = answer(b"{}", "Set-Cookie: session=tenant-b; Path=/")
    server.answers["/hop"] = answer(b"", "Set-Cookie: session=tenant-b", "Location: /next", status="302 Found")
    run = await run_flow(f"""
        nodes:
        - {{id: a, type: HTTP, inputs: {{baseUri: "{server.url}/set"}}}}
        - {{id: b, type: HTTP, inputs: {{baseUri: "{server.url}/hop"}}}}
        edges: [{{from: a.__success, to: b.__execute}}]
    """)
    assert run.result.error is None
    await outputs_of("HTTP", baseUri=server.url)
    assert [request.path for request in server.requests] == ["/set", "/hop", "/next", "/"]
    assert all("cookie" not in request.headers for request in server.requests)


async def test_cookie_header_of_the_flow_is_sent(server: RawServer) -> None:
    await outputs_of("HTTP", baseUri=server.url, headers={"Cookie": "mine=1"})
    assert server.requests[0].headers["cookie"] == "mine=1"


async def test_connections_are_limited_and_closed_with_the_run(server: RawServer) -> None:
    server.delay = 0.02
    nodes = "\n".join(f"- {{id: n{each}, type: HTTP, inputs: {{baseUri: '{server.url}'}}}}" for each in range(12))
    options = EngineOptions(egress=LOOPBACK, limits=Limits(http_connections=3))
    run = await run_flow(f"nodes:\n{nodes}", options=options)
    assert run.result.error is None
    assert (len(server.requests), server.most_open) == (12, 3)
    async with asyncio.timeout(10):
        while server.open:  # noqa: ASYNC110 - the server runs in another thread
            await asyncio.sleep(0.01)


async def test_proxies_of_the_environment_are_not_used(server: RawServer, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    await outputs_of("HTTP", baseUri=server.url)
    assert len(server.requests) == 1


# -- redirects --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_redirect_drops_flow_headers_across_origins(server: RawServer, other: RawServer, status: int) -> None:
    server.answers["/a"] = redirect(f"{other.url}/b", status)
    await outputs_of(
        "HTTP",
        baseUri=server.url.replace("//", f"//user:{SECRET}@") + "/a",
        headers={"X-Api-Key": SECRET, "Authorization": SECRET, "Cookie": SECRET, "Accept": f"x/{SECRET}"},
    )
    (request,) = other.requests
    assert SECRET not in str(request)
    assert set(request.headers) == {"host", "user-agent", "accept", "accept-encoding"}


@pytest.mark.parametrize("status", [307, 308])
@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
async def test_redirect_sends_no_body_across_origins(
    server: RawServer, other: RawServer, status: int, method: str
) -> None:
    server.answers["/a"] = redirect(f"{other.url}/b", status)
    said = await failure_of("HTTP", baseUri=f"{server.url}/a", method=method, body={"password": SECRET})
    assert "a body is not sent to another origin" in said
    assert SECRET not in said
    assert not other.requests


@pytest.mark.parametrize("status", [301, 302, 303])
async def test_redirect_of_a_post_becomes_a_get_without_its_body(
    server: RawServer, other: RawServer, status: int
) -> None:
    server.answers["/a"] = redirect(f"{other.url}/b", status)
    await outputs_of("HTTP", baseUri=f"{server.url}/a", method="POST", body={"password": SECRET})
    (request,) = other.requests
    assert (request.method, request.body) == ("GET", b"")
    assert not {"idempotency-key", "content-type"} & set(request.headers)


async def test_redirect_within_the_origin_keeps_headers_and_body(server: RawServer) -> None:
    server.answers["/a"] = redirect("/b", 307)
    await outputs_of("HTTP", baseUri=f"{server.url}/a", method="POST", body={"n": 1}, headers={"X-Api-Key": "k"})
    first, second = server.requests
    assert (second.method, second.body, second.headers) == ("POST", b'{"n":1}', first.headers)


async def test_redirect_back_to_the_origin_brings_no_headers_back(server: RawServer, other: RawServer) -> None:
    server.answers["/a"] = redirect(f"{other.url}/b", 302)
    other.answers["/b"] = redirect(f"{server.url}/c", 302)
    await outputs_of("HTTP", baseUri=f"{server.url}/a", headers={"X-Api-Key": SECRET})
    assert SECRET not in str(server.requests[1])


async def test_redirects_are_limited_by_name(server: RawServer) -> None:
    server.answers["/a"] = redirect("/a", 302)
    assert "more than 5 redirects (CHAINGRAPH_MAX_HTTP_REDIRECTS)" in await failure_of(
        "HTTP", baseUri=f"{server.url}/a"
    )
    assert len(server.requests) == 6


@pytest.mark.parametrize("to", ["file:///etc/passwd", "ftp://x/", "gopher://x", "http://[::1", "javascript:x"])
async def test_redirect_to_another_scheme_is_refused(server: RawServer, to: str) -> None:
    server.answers["/a"] = redirect(to, 302)
    assert "redirected to" in await failure_of("HTTP", baseUri=f"{server.url}/a")


# -- codings and sizes ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("coding", "content"),
    [
        ("gzip", gzip.compress(b'{"n":1}')),
        ("x-gzip", gzip.compress(b'{"n":1}')),
        ("GZIP", gzip.compress(b'{"n"') + gzip.compress(b":1}")),
        ("deflate", zlib.compress(b'{"n":1}')),
        ("deflate", zlib.compress(b'{"n":1}')[2:-4]),
        ("identity", b'{"n":1}'),
    ],
    ids=["gzip", "x-gzip", "two-members", "deflate", "raw-deflate", "identity"],
)
async def test_one_content_coding_is_taken(server: RawServer, coding: str, content: bytes) -> None:
    server.answers["/"] = answer(content, f"Content-Encoding: {coding}")
    assert (await outputs_of("HTTP", baseUri=server.url))["response"] == {"n": 1}


@pytest.mark.parametrize(
    ("codings", "said"),
    [
        (["gzip, gzip"], "2 content codings"),
        (["gzip", "gzip"], "2 content codings"),
        (["deflate, gzip, identity"], "2 content codings"),
        (["br"], "unknown content coding 'br'"),
        (["zstd"], "unknown content coding 'zstd'"),
    ],
)
async def test_other_content_codings_are_refused(server: RawServer, codings: list[str], said: str) -> None:
    packed = gzip.compress(gzip.compress(b"x" * 10_000_000))
    server.answers["/"] = answer(packed, *(f"Content-Encoding: {each}" for each in codings))
    assert said in await failure_of("HTTP", baseUri=server.url)


@pytest.mark.parametrize("pack", [gzip.compress, zlib.compress])
async def test_packed_response_stops_at_the_limit(server: RawServer, pack: Any) -> None:
    coding = "gzip" if pack is gzip.compress else "deflate"
    server.answers["/"] = answer(pack(b"1" * 50_000_000), f"Content-Encoding: {coding}")
    error = await error_of("HTTP", baseUri=server.url)
    assert "larger than 4194304 bytes (maxBytes)" in error.message
    error = await error_of("HTTP", baseUri=server.url, options=SMALL)
    assert (error.reason, "CHAINGRAPH_MAX_READ_BYTES" in error.message) == (FailureReason.LIMIT_EXCEEDED, True)


async def test_raw_bytes_count_when_they_unpack_to_nothing(server: RawServer) -> None:
    server.answers["/"] = answer(gzip.compress(b"") * 1000, "Content-Encoding: gzip")
    assert "CHAINGRAPH_MAX_READ_BYTES" in await failure_of("HTTP", baseUri=server.url, options=SMALL)


async def test_announced_length_is_refused_before_it_is_read(server: RawServer) -> None:
    server.answers["/"] = b"HTTP/1.1 200 OK\r\nContent-Length: 60000000000\r\n\r\n"
    assert "60000000000 bytes" in await failure_of("HTTP", baseUri=server.url, maxBytes=64 * 1024 * 1024)


async def test_cut_off_packed_response_fails(server: RawServer) -> None:
    server.answers["/"] = answer(gzip.compress(b'{"n":1}')[:-9], "Content-Encoding: gzip")
    assert "ends before its compressed data does" in await failure_of("HTTP", baseUri=server.url)


@given(content=st.binary(max_size=3000), cut=st.integers(1, 40), limit=st.integers(1, 3000))
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_unpacker_gives_back_what_was_packed(content: bytes, cut: int, limit: int) -> None:
    packed = gzip.compress(content) + gzip.compress(content)
    unpacker, made = Unpacker(gzip=True), bytearray()
    for start in range(0, len(packed), cut):
        made += unpacker.unpacked(packed[start : start + cut], limit + 1 - len(made))
        if len(made) > limit:
            break
    assert bytes(made) == (content * 2)[: limit + 1]


@pytest.mark.parametrize("charset", ["idna", "punycode", "unicode_escape", "zlib", "rot13", "nope"])
async def test_charsets_that_are_none_are_refused(server: RawServer, charset: str) -> None:
    server.answers["/"] = answer(b"x" * 100_000, f"Content-Type: text/plain; charset={charset}")
    assert "charset" in await failure_of("HTTP", baseUri=server.url, responseType="text")


# -- what a flow may set, and what messages show -----------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [
        *("Host", "content-length", "Transfer-Encoding", "TRANSFER-ENCODING", "Connection", "Keep-Alive", "TE"),
        *("Trailer", "Upgrade", "Expect", "Proxy-Connection", " Content-Length", "Transfer-Encoding\t"),
    ],
)
async def test_framing_headers_are_refused_by_name(server: RawServer, name: str) -> None:
    said = await failure_of("HTTP", baseUri=server.url, method="POST", body="x", headers={name: "chunked"})
    assert f"header {name.strip()} is set by the node itself" in said
    assert not server.requests


@given(name=st.text(min_size=1, max_size=20), value=st.text(max_size=20))
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_any_header_makes_one_request_at_most(server: RawServer, name: str, value: str) -> None:
    server.requests.clear()
    await run_flow_of_header(server.url, name, value)
    assert len(server.requests) <= 1
    for request in server.requests:
        assert request.headers["host"] == server.url.removeprefix("http://")
        assert "transfer-encoding" not in request.headers


async def run_flow_of_header(url: str, name: str, value: str) -> None:
    inputs: dict[str, Any] = {"baseUri": url, "method": "POST", "body": "x", "headers": {name: value}}
    await run_flow(FlowSpec.model_validate({"nodes": [{"id": "it", "type": "HTTP", "inputs": inputs}]}))


@pytest.mark.parametrize(
    "inputs",
    [
        {},
        {"failOnStatus": False},
        {"timeout": 0.001},
        {"maxBytes": 1},
        {"headers": {"a": "b\r\nc: d"}},
        {"headers": {"Host": SECRET}},
        {"headers": {"X-Key": f"é{SECRET}"}},
    ],
)
async def test_tokens_in_urls_are_never_shown(
    server: RawServer, inputs: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    server.answers[f"/bot{SECRET}/send"] = answer(b"not JSON", status="200 OK" if inputs else "404 Not Found")
    url = server.url.replace("//", f"//u:{SECRET}@")
    run = await run_flow_of_secret(url, inputs)
    assert run.result.error is not None
    assert SECRET not in str(run.result) + str(run.recorder.events) + str(run.recorder.records)
    assert SECRET not in caplog.text


async def run_flow_of_secret(url: str, inputs: dict[str, Any]) -> Any:
    inputs = {"baseUri": url, "path": f"bot{SECRET}/send", "query": {"key": SECRET}} | inputs
    return await run_flow(FlowSpec.model_validate({"nodes": [{"id": "it", "type": "HTTP", "inputs": inputs}]}))


@pytest.mark.parametrize("url", [f"http://x:{SECRET}/", f"nope://{SECRET}", f"http://x/\x00{SECRET}"])
async def test_malformed_urls_are_not_quoted(url: str) -> None:
    assert SECRET not in await failure_of("HTTP", baseUri=url)


async def test_null_and_boolean_headers_are_json(server: RawServer) -> None:
    await outputs_of("HTTP", baseUri=server.url, headers={"X-None": None, "X-True": True, "X-One": 1})
    assert {name: value for name, value in server.requests[0].headers.items() if name.startswith("x-")} == {
        "x-true": "true",
        "x-one": "1",
    }
