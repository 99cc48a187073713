"""HTTP for the nodes of one run: checked addresses, own redirects, bounded responses, and nothing shared between runs.

httpcore does the protocol. Features that browsers and httpx add are left out or done here, because each of them can
leak data from one origin or tenant to another: there is no cookie jar, no proxy from the environment, and headers and
body of the flow go only to the origin that the flow names.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import zlib
from collections.abc import AsyncIterable, Callable, Iterable
from dataclasses import dataclass, replace
from functools import cache
from importlib import import_module
from ipaddress import ip_address
from ssl import SSLContext
from typing import Final

import httpcore
import httpx

from chaingraph_flow.egress import Egress
from chaingraph_flow.errors import NodeFailed
from chaingraph_flow.limits import Limits, setting
from chaingraph_flow.ports.json_values import quoted

# At DEBUG, httpcore logs the headers of each response, including cookies.
logging.getLogger("httpcore").setLevel(logging.WARNING)

REDIRECTS: Final = frozenset((301, 302, 303, 307, 308))
OWN_HEADERS: Final = (("User-Agent", "chaingraph"), ("Accept", "*/*"), ("Accept-Encoding", "gzip, deflate"))
FRAMING: Final = frozenset(
    (
        *("host", "content-length", "transfer-encoding", "connection", "keep-alive", "proxy-connection", "te"),
        *("trailer", "upgrade", "expect", "http2-settings"),
    )
)
"""Headers that delimit a message or control the connection: one from a flow could smuggle a second request through a
proxy."""
_GZIP: Final = frozenset(("gzip", "x-gzip"))
_PATIENCE: Final = 3.0
"""Seconds for a connection to one address of a host that has others."""


@dataclass(frozen=True, slots=True)
class Call:
    """One request. `headers` are the flow's and the node's; common headers are added."""

    method: str
    url: httpx.URL
    headers: tuple[tuple[str, str], ...]
    content: bytes | None
    max_bytes: int
    """Maximum response size, both compressed and uncompressed."""
    secret: Callable[[str], bool] = lambda _: False
    """Whether a text has a secret of the flow, which must not go to another origin."""

    @property
    def shown(self) -> str:
        """Name the request in messages: method and origin, without path and query, which may contain tokens."""
        rest = "" if self.url.raw_path in (b"", b"/") else "/..."
        return f"{self.method} {origin(self.url)}{rest}"


@dataclass(frozen=True, slots=True)
class Answer:
    """A response, uncompressed."""

    status: int
    headers: httpx.Headers
    content: bytes


class Connections:
    """The connections of one run, to be closed at its end."""

    def __init__(self, limits: Limits, egress: Egress) -> None:
        self._limits = limits
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=_tls(),
            max_connections=limits.http_connections,
            max_keepalive_connections=limits.http_connections,
            keepalive_expiry=5,
            network_backend=_CheckedAddresses(egress),
        )

    async def aclose(self) -> None:
        """Close all connections, including those in use."""
        await self._pool.aclose()

    async def exchange(self, call: Call) -> Answer:
        """Send a request and return the response, after redirects.

        Raises:
            EgressDenied: the address of a hop is closed to flows.
            LimitExceeded: the response exceeds the installation's limit.
            NodeFailed: the response exceeds this node's limit, cannot be uncompressed, or is an invalid redirect.
            httpcore errors: there was no response.
        """
        for _ in range(self._limits.http_redirects + 1):
            answer = await self._once(call)
            if isinstance(answer, Answer):
                return answer
            call = redirected(call, *answer)
        most = self._limits.http_redirects
        raise NodeFailed(f"{call.shown}: more than {most} redirects ({setting('http_redirects')})")

    async def _once(self, call: Call) -> Answer | tuple[int, str]:
        """Return the response, or the status and location of a redirect."""
        async with self._pool.stream(
            call.method.encode(),
            httpcore.URL(
                scheme=call.url.raw_scheme, host=call.url.raw_host, port=call.url.port, target=call.url.raw_path
            ),
            headers=_encoded(call),
            content=call.content,
        ) as response:
            headers = httpx.Headers(response.headers)
            location = headers.get("location")
            if response.status in REDIRECTS and location is not None:
                return response.status, location
            content = await self._received(response.aiter_stream(), headers, call)
            return Answer(response.status, headers, content)

    async def _received(self, chunks: AsyncIterable[bytes], headers: httpx.Headers, call: Call) -> bytes:
        limit = min(call.max_bytes, self._limits.read_bytes)
        announced = headers.get("content-length", "")
        if call.method != "HEAD" and announced.isdecimal() and len(announced) < 20 and int(announced) > limit:
            raise self._too_large(call, int(announced))
        unpacker = _unpacker(headers, call)
        received = bytearray()
        raw = 0
        async for chunk in chunks:
            raw += len(chunk)
            received += chunk if unpacker is None else unpacker.unpacked(chunk, limit + 1 - len(received))
            if max(raw, len(received)) > limit:
                raise self._too_large(call)
        if unpacker is not None and raw and not unpacker.ended:
            raise NodeFailed(f"{call.shown}: the response ends before its compressed data does")
        return bytes(received)

    def _too_large(self, call: Call, announced: int | None = None) -> NodeFailed:
        if call.max_bytes <= self._limits.read_bytes:
            return NodeFailed(f"{call.shown}: the response is larger than {call.max_bytes} bytes (maxBytes)")
        return self._limits.exceeded("read_bytes", f"{call.shown}: the response", announced)


def origin(url: httpx.URL) -> str:
    """`https://api.example.com:8443`."""
    return f"{url.scheme}://{url.netloc.decode('ascii')}"


def redirected(call: Call, status: int, location: str) -> Call:
    """Return the request that follows a redirect. Raises NodeFailed when the redirect is invalid.

    As in browsers, 303 turns any method into GET, and 301 and 302 turn POST into GET. Within the origin, headers and
    body are kept. To another origin none of the flow's are sent, and a request that would need its body is not sent at
    all.
    """
    try:
        url = call.url.join(location).copy_with(userinfo=b"", fragment=None)
    except (httpx.InvalidURL, ValueError):
        raise NodeFailed(f"{call.shown}: redirected to an invalid URL") from None
    if url.scheme not in ("http", "https") or not url.host:
        raise NodeFailed(f"{call.shown}: redirected to a URL that is not http or https")
    if (status == 303 and call.method != "HEAD") or (status in (301, 302) and call.method == "POST"):
        kept = tuple(each for each in call.headers if not each[0].lower().startswith("content-"))
        call = replace(call, method="GET", content=None, headers=kept)
    if _same_origin(call.url, url):
        return replace(call, url=url)
    if call.content:
        raise NodeFailed(
            f"{call.shown}: redirected to {origin(url)}, and a body is not sent to another origin. "
            "Set baseUri to the final address"
        )
    if call.secret(str(url)):
        raise NodeFailed(
            f"{call.shown}: redirected to {origin(url)} with a secret in the URL, and a secret is not sent to another "
            "origin. Set baseUri to the final address",
            retryable=False,
        )
    return replace(call, url=url, headers=())


def _same_origin(a: httpx.URL, b: httpx.URL) -> bool:
    return (a.scheme, a.raw_host, _port(a)) == (b.scheme, b.raw_host, _port(b))


def _port(url: httpx.URL) -> int:
    return url.port or (443 if url.scheme == "https" else 80)


def _encoded(call: Call) -> list[tuple[bytes, bytes]]:
    """Return all headers, the flow's before the common ones. Raises NodeFailed, without header values."""
    for name, _ in call.headers:
        if name.strip().lower() in FRAMING:
            raise NodeFailed(f"header {name.strip()} is set by the node itself: remove it from headers")
    given = {name.lower() for name, _ in call.headers}
    own = [each for each in OWN_HEADERS if each[0].lower() not in given]
    try:
        every = [(name.encode("ascii"), value.encode("ascii")) for name, value in (*call.headers, *own)]
    except UnicodeEncodeError:
        raise NodeFailed(f"{call.shown}: a header has a form that HTTP does not allow") from None
    return [(b"Host", call.url.netloc), *every]


class Unpacker:
    """Uncompresses a stream of gzip or deflate, never more than requested."""

    def __init__(self, *, gzip: bool) -> None:
        self._gzip = gzip
        self._inflate = zlib.decompressobj(16 + zlib.MAX_WBITS if gzip else zlib.MAX_WBITS)
        self._first = True
        self.ended = False

    def unpacked(self, chunk: bytes, most: int) -> bytes:
        """Uncompress the chunk, up to `most` bytes. Raises zlib.error."""
        made = bytearray()
        while chunk and len(made) < most:
            if self.ended:  # gzip members may be concatenated
                self.__init__(gzip=self._gzip)  # type: ignore[misc]  # begins again
            try:
                made += self._inflate.decompress(chunk, most - len(made))
            except zlib.error:
                if self._gzip or not self._first:
                    raise
                self._inflate = zlib.decompressobj(-zlib.MAX_WBITS)  # some servers omit zlib's frame
                made += self._inflate.decompress(chunk, most - len(made))
            self._first = False
            self.ended = self._inflate.eof
            chunk = self._inflate.unused_data if self.ended else self._inflate.unconsumed_tail
        return bytes(made)


def _unpacker(headers: httpx.Headers, call: Call) -> Unpacker | None:
    codings = [each.strip().lower() for each in headers.get_list("content-encoding", split_commas=True)]
    codings = [each for each in codings if each not in ("", "identity")]
    if not codings:
        return None
    if len(codings) > 1:
        raise NodeFailed(f"{call.shown}: the response has {len(codings)} content codings, only one is supported")
    if codings[0] not in _GZIP and codings[0] != "deflate":
        raise NodeFailed(f"{call.shown}: unknown content coding {quoted(codings[0])}; supported: gzip, deflate")
    return Unpacker(gzip=codings[0] in _GZIP)


class _CheckedAddresses(httpcore.AsyncNetworkBackend):
    """Connects only to addresses that the policy admits: nothing is resolved after the check."""

    def __init__(self, egress: Egress) -> None:
        self._egress = egress
        self._network = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Resolve, check, connect. Raises EgressDenied when no address of the host may be reached."""
        addresses = self._egress.admitted(host, await resolved(host, port))
        for place, address in enumerate(addresses, start=1):
            patience = timeout if place == len(addresses) else _PATIENCE
            try:
                return await self._network.connect_tcp(address, port, patience, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout):
                if place == len(addresses):
                    raise
        raise httpcore.ConnectError("the host has no address")


async def resolved(host: str, port: int) -> list[str]:
    """Resolve a host to its addresses, in the resolver's order. Raises httpcore.ConnectError when there are none."""
    try:
        return [str(ip_address(host))]
    except ValueError:
        pass
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise httpcore.ConnectError("cannot resolve the host name") from None
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


def prepare() -> None:
    """Do what every process needs for its first request. Before a fork, its children share it: 80 ms of CPU time."""
    import_module("anyio._backends._asyncio")
    _tls()


@cache
def _tls() -> SSLContext:
    # Costs 10 ms and more, and shares no session: Python resumes one only when told to.
    return httpx.create_ssl_context()
