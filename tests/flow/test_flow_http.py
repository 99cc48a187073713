"""The HTTP node against a real server on this machine."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from chaingraph_flow import FlowOutcome
from fixtures.flows.runs import failure_of, outputs_of, run_flow


@dataclass
class Server:
    url: str
    requests: list[dict[str, Any]] = field(default_factory=list)


class _Handler(BaseHTTPRequestHandler):
    seen: Server
    protocol_version = "HTTP/1.1"

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.seen.requests.append({"method": self.command, "path": self.path, "headers": headers, "body": body})
        path = self.path.partition("?")[0]
        status, content = 200, json.dumps({"items": [{"name": "Bern"}], "count": 1}).encode()
        if path == "/text":
            content = "größe".encode("latin-1")
        elif path == "/large":
            content = b"x" * (4 * 1024 * 1024 + 1)
        elif path == "/missing":
            status, content = 404, b"not here"
        elif path == "/teapot":
            status, content = 418, b'{"error": "short and stout"}'
        elif path == "/empty":
            status, content = 204, b""
        elif path == "/slow":
            time.sleep(0.5)
        elif path == "/flaky" and len(self.seen.requests) < 3:
            status = 503
        elif path == "/loop":
            status = 302
        self.send_response(status)
        if status == 302:
            self.send_header("Location", "/loop")
        self.send_header("Content-Type", "text/plain; charset=latin-1" if path == "/text" else "application/json")
        self.send_header("Set-Cookie", "session=secret")
        self.send_header("X-Kind", "test")
        if status != 204:
            self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if status != 204 and self.command != "HEAD":
            try:
                self.wfile.write(content)
            except (BrokenPipeError, ConnectionResetError):
                self.close_connection = True

    do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = _answer  # noqa: N815 - the base class's naming

    def log_message(self, format: str, *args: Any) -> None:
        """Quiet."""


@pytest.fixture
def server() -> Iterator[Server]:
    class Handler(_Handler):
        """This server's own, so that it sees no other's requests."""

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Handler.seen = Server(f"http://127.0.0.1:{http.server_port}")
    thread = threading.Thread(target=http.serve_forever, args=(0.01,))
    thread.start()
    yield Handler.seen
    http.shutdown()
    http.server_close()
    thread.join()


async def test_http_get_sends_query_and_headers(server: Server) -> None:
    found = await outputs_of(
        "HTTP", baseUri=f"{server.url}/v1/", path="/cities", query={"limit": 3, "q": "a b"}, headers={"X-Key": "k"}
    )
    assert found["statusCode"] == 200
    assert found["response"]["items"] == [{"name": "Bern"}]
    assert found["responseHeaders"]["x-kind"] == "test"
    assert "set-cookie" not in found["responseHeaders"]
    (request,) = server.requests
    assert (request["path"], request["headers"]["x-key"]) == ("/v1/cities?limit=3&q=a+b", "k")
    assert "idempotency-key" not in request["headers"]


async def test_http_post_sends_json_and_idempotency_key(server: Server) -> None:
    await outputs_of("HTTP", baseUri=server.url, method="POST", body={"a": 1})
    await outputs_of("HTTP", baseUri=server.url, method="PUT", body="plain", headers={"Idempotency-Key": "mine"})
    first, second = server.requests
    assert (first["body"], first["headers"]["content-type"]) == ('{"a":1}', "application/json")
    assert first["headers"]["idempotency-key"] == "EXtest:it:1"
    assert (second["body"], second["headers"]["idempotency-key"]) == ("plain", "mine")


async def test_http_decodes_text_in_its_charset(server: Server) -> None:
    found = await outputs_of("HTTP", baseUri=server.url, path="text", responseType="text")
    assert found["response"] == "größe"


async def test_http_empty_response_is_null(server: Server) -> None:
    found = await outputs_of("HTTP", baseUri=server.url, path="empty")
    assert (found["statusCode"], found["response"]) == (204, None)


async def test_http_status_other_than_2xx_fails_unless_allowed(server: Server) -> None:
    assert await failure_of("HTTP", baseUri=server.url, path="missing") == f"GET {server.url}/...: status 404: not here"
    found = await outputs_of("HTTP", baseUri=server.url, path="missing", failOnStatus=False)
    assert (found["statusCode"], found["response"]) == (404, None)
    found = await outputs_of("HTTP", baseUri=server.url, path="teapot", failOnStatus=False)
    assert found["response"] == {"error": "short and stout"}
    schema = {"type": "object", "properties": {"items": "array"}}
    found = await outputs_of("HTTP", baseUri=server.url, path="teapot", failOnStatus=False, schema=schema)
    assert found["response"] is None


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({"path": "large"}, "the response is larger than 4194304 bytes"),
        ({"maxBytes": 5}, "the response is larger than 5 bytes"),
        ({"path": "slow", "timeout": 0.05}, "timed out after 0.05 s"),
        ({"path": "text"}, "the response is not JSON"),
        ({"path": "loop"}, "more than 5 redirects"),
        ({"headers": {"a": {"b": 1}}}, "must be a text, a number or a boolean"),
        ({"headers": {"a": "b\r\nc: hunter2"}}, "a header has a form that HTTP does not allow"),
        ({"schema": {"type": "object", "properties": {"count": "string"}}}, "response.count: must be a string"),
        ({"baseUri": "ftp://x"}, "must start with http"),
        ({"baseUri": "x"}, "must start with http"),
        ({"baseUri": "http://127.0.0.1:1"}, "ConnectError"),
    ],
)
async def test_http_failure_names_the_cause(server: Server, inputs: dict[str, Any], message: str) -> None:
    said = await failure_of("HTTP", **({"baseUri": server.url} | inputs))
    assert message in said
    assert "hunter2" not in said


async def test_http_hides_secrets_in_messages_and_logs(server: Server, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    message = await failure_of(
        "HTTP",
        baseUri=server.url.replace("//", "//user:hunter2@"),
        path="missing",
        query={"key": "hunter2"},
        headers={"Authorization": "hunter2"},
        method="POST",
        body={"password": "hunter2"},
    )
    assert message == f"POST {server.url}/...: status 404: not here"
    assert "hunter2" not in caplog.text


async def test_http_node_retries_after_503(server: Server) -> None:
    run = await run_flow(f"""
        nodes:
        - {{id: it, type: HTTP, inputs: {{baseUri: "{server.url}", path: flaky}}, retry: {{backoffSeconds: 0.01}}}}
    """)
    assert run.result.outcome is FlowOutcome.COMPLETED
    assert run.recorder.of("it").attempts == 3
