"""Secrets in the requests of HTTP nodes: sent to the server that the flow names, and shown nowhere."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Any

import pytest

from chaingraph_flow import FlowOutcome, NodeRecord
from fixtures.flows.http_server import RawServer, answer, raw_server
from fixtures.flows.runs import BUILT_IN
from fixtures.flows.vault import Vault, everything, run

TOKEN = "tok-8f3a91c07b-7Zq/+x"


@pytest.fixture
def server() -> Iterator[RawServer]:
    with raw_server() as found:
        yield found


async def fetch(server: RawServer, inputs: str, token: str = TOKEN) -> tuple[NodeRecord, str]:
    """Returns how the node ended, and everything that the run has written."""
    spec = f"""
    nodes: [{{id: http, type: HTTP, inputs: {{baseUri: "{server.url}", {inputs}}}}}]
    """
    result, recorder = await run(spec, Vault(token=token), BUILT_IN)
    assert result.outcome in (FlowOutcome.COMPLETED, FlowOutcome.FAILED)
    return recorder.of("http"), everything(result, recorder)


SECRET = "{secretKeyRef: {name: vault, key: token}}"


@pytest.mark.parametrize(
    ("inputs", "header", "sent"),
    [
        (f"bearerToken: {SECRET}", "authorization", f"Bearer {TOKEN}"),
        (
            f"username: etl, password: {SECRET}",
            "authorization",
            f"Basic {base64.b64encode(f'etl:{TOKEN}'.encode()).decode()}",
        ),
        (f"secretHeaders: {{X-Api-Key: {SECRET}}}", "x-api-key", TOKEN),
    ],
    ids=["bearer", "basic", "header"],
)
async def test_secret_is_sent_and_its_echo_removed(server: RawServer, inputs: str, header: str, sent: str) -> None:
    server.answers["/"] = answer(f'{{"you": "{sent}", "all": ["{TOKEN}"]}}'.encode(), f"X-Echo: {sent}")
    record, written = await fetch(server, inputs)
    assert server.requests[0].headers[header] == sent
    assert record.outputs["response"]["all"] == ["***"]
    assert "***" in record.outputs["responseHeaders"]["x-echo"]
    assert TOKEN not in written
    assert sent.rpartition(" ")[2] not in written


async def test_secret_in_the_query_is_sent_quoted(server: RawServer) -> None:
    _, written = await fetch(server, f"query: {{a: 1}}, secretQuery: {{key: {SECRET}}}")
    assert server.requests[0].path == "/?a=1&key=tok-8f3a91c07b-7Zq%2F%2Bx"
    assert "8f3a91c07b" not in written


async def test_error_body_that_echoes_the_token_is_cut_after_it_is_scrubbed(server: RawServer) -> None:
    body = f"{'x' * 185} token {TOKEN} is wrong {'y' * 5000} {TOKEN}"
    server.answers["/"] = answer(body.encode(), f"X-Seen: Bearer {TOKEN}", status="500 Oops")
    record, written = await fetch(server, f"bearerToken: {SECRET}")
    assert (record.reason, record.details["statusCode"]) == ("HTTP500", 500)
    assert "8f3a91c07b" not in written
    assert "tok-" not in written, "not even its first characters"
    assert record.details["headers"]["x-seen"] == "Bearer ***"


async def test_redirect_to_another_origin_has_no_secret(server: RawServer) -> None:
    with raw_server() as other:
        server.answers["/"] = answer(b"", f"Location: {other.url}/next", status="302 Found")
        record, _ = await fetch(server, f"bearerToken: {SECRET}, secretHeaders: {{X-Key: {SECRET}}}")
        assert record.error == ""
        [seen] = other.requests
    assert TOKEN not in str(seen)
    assert not {"authorization", "x-key"} & seen.headers.keys()


@pytest.mark.parametrize("query", ["key=tok-8f3a91c07b-7Zq%2F%2Bx", "key=tok-8f3a91c07b-7Zq%2f%2bx"])
async def test_redirect_that_repeats_a_secret_to_another_origin_is_refused(server: RawServer, query: str) -> None:
    with raw_server() as other:
        server.answers["/"] = answer(b"", f"Location: {other.url}/?{query}", status="302 Found")
        record, written = await fetch(server, f"secretQuery: {{key: {SECRET}}}")
        assert other.requests == []
    assert "with a secret in the URL" in record.error
    assert "8f3a91c07b" not in written


@pytest.mark.parametrize(
    ("inputs", "token", "told"),
    [
        (f"headers: {{authorization: x}}, bearerToken: {SECRET}", TOKEN, "Authorization is set twice"),
        (f"bearerToken: {SECRET}, username: a, password: {SECRET}", TOKEN, "bearerToken and password are both set"),
        (f"query: {{key: 1}}, secretQuery: {{key: {SECRET}}}", TOKEN, "set in query and in secretQuery"),
        (f"bearerToken: {SECRET}", f"{TOKEN}\n", "ends with a line break, so store it without one"),
        (f"secretHeaders: {{X: {SECRET}}}", f"{TOKEN}é", "characters that a header cannot have"),
        (f"username: 'a:b', password: {SECRET}", TOKEN, "cannot have a colon"),
    ],
)
async def test_request_that_cannot_be_sent_is_refused(server: RawServer, inputs: str, token: str, told: str) -> None:
    record, written = await fetch(server, inputs, token)
    assert told in record.error
    assert server.requests == []
    assert "8f3a91c07b" not in written


def test_descriptions_say_that_these_inputs_are_secrets() -> None:
    ports: dict[str, Any] = {port.key: port.type.type for port in BUILT_IN.catalogue["HTTP"].inputs}
    assert {key for key, type_ in ports.items() if type_ == "secret"} == {"bearerToken", "password"}
    assert {key for key, type_ in ports.items() if type_ == "secrets"} == {"secretHeaders", "secretQuery"}
