"""No token in what the gateway writes, however broken the request is that carries it."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from urllib.parse import urlsplit

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chaingraph_gateway.access.authentication import Authenticator, TokenRules
from chaingraph_gateway.cluster import without
from chaingraph_gateway.connections.limits import FailedTokens, RequestLimits
from chaingraph_gateway.errors import Unauthenticated
from fixtures.processes.gateway import GatewayProcess, RunGateway
from fixtures.processes.served_gateway import Reviews

SECRET = "s3cr3t-t0ken-of-somebody"
_PIECES = st.one_of(
    st.sampled_from(
        [
            SECRET,
            f"Bearer {SECRET}",
            "Authorization: ",
            "authorization:",
            "Authorization : ",
            "GET /executions",
            f"?token={SECRET}",
            f"/executions/{SECRET}/events",
            " HTTP/1.1",
            " HTTP/9.9",
            "Host: a",
            "Content-Length: ",
            "Content-Length: -1",
            "Transfer-Encoding: chunked",
            "Expect: ",
            "Upgrade: websocket",
            "Connection: upgrade",
            "X-Forwarded-For: ",
            "\r\n",
            "\r\n\r\n",
            "\n",
            "\r",
            "\x00",
            "\t",
            " ",
            "é",
            "\x80",
        ]
    ),
    st.text(max_size=5),
)
_SHAPED = st.builds(
    "GET {} HTTP/1.1\r\nHost: a\r\n{}: {}\r\n\r\n".format,
    st.sampled_from(
        ["/executions", f"/{SECRET}", f"/executions?access_token={SECRET}", f"/executions?fromIndex={SECRET}"]
    ),
    st.sampled_from(["Authorization", "Authorization ", "X-Any", "Last-Event-ID", "Cookie", "Expect", SECRET]),
    st.sampled_from(
        [
            SECRET,
            f"Bearer {SECRET}",
            f"Basic {SECRET}",
            f"Bearer  {SECRET} x",
            f"Bearer {SECRET}\x01",
            f"{SECRET}\r\n x",
        ]
    ),
)


@pytest.mark.integration
async def test_no_token_of_a_broken_request_is_written(run_gateway: RunGateway) -> None:
    gateway = run_gateway(LOG_LEVEL="debug", CHAINGRAPH_HEAD_SECONDS="0.3", CHAINGRAPH_FAILED_TOKENS_PER_MINUTE="1000")
    context = ssl.create_default_context(cafile=str(gateway.ca))
    loop = asyncio.get_running_loop()

    def play() -> None:
        @given(st.lists(_PIECES, min_size=1, max_size=8).map("".join) | _SHAPED)
        @settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck), database=None)
        def send(request: str) -> None:
            asyncio.run_coroutine_threadsafe(_send(gateway, context, request), loop).result(30)

        send()

    await asyncio.to_thread(play)
    # It has read them, and says what it says in words of its own.
    assert (await gateway.ask("/executions")).status_code == 401
    gateway.terminate()
    assert "shut down" in gateway.log
    assert SECRET not in gateway.log


async def _send(gateway: GatewayProcess, context: ssl.SSLContext, request: str) -> None:
    address = urlsplit(gateway.url)
    with contextlib.suppress(ConnectionError, ssl.SSLError):
        reader, writer = await asyncio.open_connection(address.hostname, address.port, ssl=context)
        writer.write(request.encode("utf-8", "surrogateescape") + b"\r\n\r\n")
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(reader.read(), 0.1)
        writer.close()


@given(
    st.sampled_from(["", " ", "\t", ":", "Bearer", "bearer:", "Basic", "Token", "Negotiate"]),
    st.sampled_from(["", " ", "  ", "\t", ",", "="]),
    st.sampled_from(["", " x", "\xff", ", Bearer x", "x" * 20_000]),
)
@settings(deadline=None)
def test_refusal_of_a_header_quotes_none_of_it(before: str, between: str, after: str) -> None:
    header = f"{before}{between}{SECRET}{after}"
    reviews = Reviews()

    async def ask() -> str:
        reviews.gate.set()
        who = Authenticator(reviews, TokenRules(), FailedTokens(RequestLimits()))  # type: ignore[arg-type] # it reviews
        with pytest.raises(Unauthenticated) as refused:
            await who.caller(header, None, "a")
        return str(refused.value.document())

    assert SECRET not in asyncio.run(ask())


def test_errors_of_the_api_server_lose_the_token() -> None:
    assert without(SECRET, f"HTTP 400: cannot review {SECRET}: malformed") == "HTTP 400: cannot review ***: malformed"
    assert without("", "HTTP 400") == "HTTP 400"
