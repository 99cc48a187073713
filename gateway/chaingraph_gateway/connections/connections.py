"""Connections to the gateway: counted when accepted, closed when too slow, and never quoted in a log.

aiohttp waits forever for the rest of a request's head, and logs a line that it could not parse, which may contain a
token.
"""

from __future__ import annotations

import asyncio
import resource
import socket
import ssl
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import orjson
import structlog
from aiohttp import web

from chaingraph_gateway.access.addresses import Network, address_of, is_proxy
from chaingraph_gateway.connections.limits import ConnectionCounts
from chaingraph_gateway.metrics import Metrics

_log = structlog.get_logger(__name__)
_BACKLOG: Final = 128
_OTHER_FILES: Final = 256
"""Connections to PostgreSQL and the API server, and files that Python itself has open."""
_REPORT_SECONDS: Final = 10.0
_SHUTDOWN_SECONDS: Final = 5.0
_HEAD_TOO_LARGE: Final = (431, "Request Header Fields Too Large")
_HEAD_TOO_SLOW: Final = (408, "Request Timeout")
_NOT_HTTP: Final = "the request is not valid HTTP/1.1; it is not repeated here, because it may contain a token"
_FAILED: Final = "the gateway failed to answer; see its log"


@dataclass(frozen=True)
class ConnectionTimeouts:
    """Timeouts in seconds, and the size of a head.

    Attributes:
        head_seconds: for a TLS handshake, and for a request's head, from its first byte or from the handshake on.
        idle_seconds: for the next request on a connection.
        head_bytes: of a request's head.
    """

    head_seconds: float = 10
    idle_seconds: float = 75
    head_bytes: int = 65_536


class ListeningSocket(socket.socket):
    """A listening socket that counts accepted connections, and closes those beyond the limits at once."""

    def __init__(self, bound: socket.socket, admit: Callable[[Any], Callable[[], None] | None]) -> None:
        super().__init__(bound.family, bound.type, bound.proto, fileno=bound.detach())
        self._admit = admit

    def accept(self) -> tuple[socket.socket, Any]:
        """Return the next admitted connection.

        Raises:
            BlockingIOError: there is none.
        """
        while True:
            connection, peer = super().accept()
            release = self._admit(peer)
            if release is not None:
                return _Counted(connection, release), peer
            connection.close()


class _Counted(socket.socket):
    """A connection that reports when it is closed."""

    def __init__(self, connection: socket.socket, release: Callable[[], None]) -> None:
        super().__init__(connection.family, connection.type, connection.proto, fileno=connection.detach())
        self._release: Callable[[], None] | None = release

    def close(self) -> None:
        super().close()
        release, self._release = self._release, None
        if release is not None:
            release()


class ConnectionGate:
    """Admits connections.

    Args:
        trusted: proxies, whose connections only count towards the total limit.
    """

    def __init__(self, connections: ConnectionCounts, trusted: Sequence[Network], metrics: Metrics) -> None:
        self._connections = connections
        self._trusted = trusted
        self._metrics = metrics
        self._reported = 0.0

    def admit(self, peer: object) -> Callable[[], None] | None:
        """Return the function to call when the connection is closed; None when it is refused."""
        address = address_of(peer)
        setting = self._connections.refusal(address, proxy=is_proxy(peer, self._trusted))
        if setting is not None:
            self._metrics.refused.labels(setting).inc()
            if time.monotonic() - self._reported > _REPORT_SECONDS:
                self._reported = time.monotonic()
                _log.warning("connections refused", address=address, setting=setting)
            return None
        self._connections.opened(address)
        return lambda: self._connections.closed(address)


class Site(web.BaseSite):
    """The HTTPS server's socket."""

    __slots__ = ("_listener", "_patience")

    def __init__(
        self, runner: web.BaseRunner, listener: ListeningSocket, context: ssl.SSLContext, patience: ConnectionTimeouts
    ) -> None:
        super().__init__(runner, ssl_context=context, backlog=_BACKLOG)
        self._listener = listener
        self._patience = patience

    @property
    def name(self) -> str:
        return "gateway"

    async def start(self) -> None:
        await super().start()
        loop = asyncio.get_running_loop()
        server = self._runner.server
        assert server is not None
        self._server = await loop.create_server(
            lambda: _Connection(server, self._patience, loop),
            sock=self._listener,
            ssl=self._ssl_context,
            backlog=_BACKLOG,
            ssl_handshake_timeout=self._patience.head_seconds,
            ssl_shutdown_timeout=_SHUTDOWN_SECONDS,
        )


class _Connection(web.RequestHandler):
    """aiohttp's handler of a connection, with limits for time and size of a head, and without its logs."""

    __slots__ = ("_head", "_head_timer", "_patience")

    def __init__(self, server: web.Server, patience: ConnectionTimeouts, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(
            server,
            loop=loop,
            access_log=None,  # type: ignore[arg-type] # aiohttp's own runner does so
            keepalive_timeout=patience.idle_seconds,
            # Nothing here reads a body: the connection is closed when one was sent.
            lingering_time=0,
            max_line_size=patience.head_bytes,
            max_field_size=patience.head_bytes,
        )
        self._patience = patience
        self._head = 0
        self._head_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._start_timer()

    def connection_lost(self, exc: BaseException | None) -> None:
        self._stop_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        before = self._request_count
        super().data_received(data)
        if self._force_close:
            return
        if self._request_count != before or self._request_in_progress:
            self._head = 0
            self._stop_timer()
            return
        self._head += len(data)
        if self._head > self._patience.head_bytes:
            self._give_up(
                _HEAD_TOO_LARGE,
                f"the request's head is longer than {self._patience.head_bytes} bytes (CHAINGRAPH_MAX_HEAD_BYTES)",
            )
        elif self._head_timer is None:
            self._start_timer()

    def _start_timer(self) -> None:
        self._head_timer = self._loop.call_later(self._patience.head_seconds, self._too_slow)

    def _stop_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _too_slow(self) -> None:
        self._head_timer = None
        if self._request_in_progress or self._messages:
            return
        self._give_up(
            _HEAD_TOO_SLOW,
            f"the request's head was not complete within {self._patience.head_seconds:g} s (CHAINGRAPH_HEAD_SECONDS)",
        )

    def _give_up(self, status: tuple[int, str], message: str) -> None:
        """Send an error, bypassing aiohttp, which has no request yet, and close the connection."""
        transport = self.transport
        if transport is not None and self._head:
            code, phrase = status
            body = orjson.dumps({"status": code, "reason": phrase.replace(" ", ""), "message": message}) + b"\n"
            transport.write(
                f"HTTP/1.1 {code} {phrase}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
                "Connection: close\r\n\r\n".encode()
                + body
            )
        self.force_close()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Handle a request that aiohttp could not parse, or an unexpected error. Neither is quoted."""
        if request.writer.output_size > 0:
            raise ConnectionError("an answer has already started")
        if status >= 500:
            report("request failed", exc)
        reason = "BadRequest" if status < 500 else "InternalError"
        said = {"status": status, "reason": reason, "message": _NOT_HTTP if status < 500 else _FAILED}
        response = web.Response(body=orjson.dumps(said) + b"\n", status=status, content_type="application/json")
        response.force_close()
        return response

    def log_exception(self, *_args: Any, **kwargs: Any) -> None:
        report("connection failed", kwargs.get("exc_info"))

    def log_debug(self, *_args: Any, **_kwargs: Any) -> None:
        """Log nothing: the message may contain parts of a request."""


def report(what: str, error: object) -> None:
    """Log an unexpected exception by its type and location: its message may quote a request."""
    places = []
    trace = error.__traceback__ if isinstance(error, BaseException) else None
    while trace is not None:
        places.append(f"{trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}")
        trace = trace.tb_next
    _log.error(what, error=type(error).__name__, places=places)


def listening(host: str, port: int) -> socket.socket:
    """Return a listening socket.

    Raises:
        OSError: host or port is not available.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, port), family=family, backlog=_BACKLOG)


def enough_files(connections: int) -> None:
    """Raise the process's limit of open files for this many connections."""
    needed = connections + _OTHER_FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < needed:
        soft = needed if hard == resource.RLIM_INFINITY else min(hard, needed)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        if soft < needed:
            _log.warning(
                "the process may open fewer files than connections: raise the limit (ulimit -n), or lower "
                "CHAINGRAPH_MAX_CONNECTIONS",
                files=soft,
                setting="CHAINGRAPH_MAX_CONNECTIONS",
            )
