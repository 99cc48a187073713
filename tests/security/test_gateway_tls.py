"""A client certificate counts for as long as its authority is trusted: no session brings it back."""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from chaingraph_cli.cluster.access.certificates import Authority
from chaingraph_gateway.connections.tls import ServingTls
from fixtures.processes.served_gateway import ServeGateway

_TRUSTED, _FORMER = Authority("trusted"), Authority("former")
_SERVER = Authority("gateway")


class Served:
    """A server that says whose certificate it sees, and whether it still trusts it."""

    def __init__(self, folder: Path) -> None:
        files = folder / "tls.crt", folder / "tls.key"
        _SERVER.server("gateway", ["127.0.0.1"]).write(*files)
        self.tls = ServingTls(*files)
        self.port = 0

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = writer.get_extra_info("ssl_object")
        while await reader.read(1):
            names = [value for part in (connection.getpeercert() or {}).get("subject", ()) for _, value in part]
            said = "trusted" if self.tls.trusts(connection) else "not trusted"
            writer.write(f"{','.join(names) or 'nobody'} {said}\n".encode())
            await writer.drain()
        writer.close()


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    server = Served(tmp_path)
    with _serving(server):
        yield server


@contextmanager
def _serving(server: Served) -> Iterator[None]:
    """Runs it in a loop of its own: the clients of `ssl` that can resume a session are blocking ones."""
    port: Future[int] = Future()
    loop = asyncio.new_event_loop()
    loop.set_exception_handler(lambda _loop, _context: None)
    end = asyncio.Event()

    async def run() -> None:
        listening = await asyncio.start_server(server.answer, "127.0.0.1", 0, ssl=server.tls.context)
        port.set_result(listening.sockets[0].getsockname()[1])
        await end.wait()
        listening.close()

    thread = threading.Thread(target=loop.run_until_complete, args=(run(),))
    thread.start()
    server.port = port.result(10)
    try:
        yield
    finally:
        loop.call_soon_threadsafe(end.set)
        thread.join(10)
        loop.close()


def _context(tmp_path: Path, authority: Authority | None) -> ssl.SSLContext:
    context = ssl.create_default_context(cadata=_SERVER.certificate)
    if authority is not None:
        files = tmp_path / "client.crt", tmp_path / "client.key"
        authority.client("jane", ()).write(*files)
        context.load_cert_chain(*files)
    return context


@contextmanager
def _connected(
    server: Served, context: ssl.SSLContext, session: ssl.SSLSession | None = None
) -> Iterator[ssl.SSLSocket]:
    with (
        socket.create_connection(("127.0.0.1", server.port), timeout=10) as raw,
        context.wrap_socket(raw, server_hostname="127.0.0.1", session=session) as connection,
    ):
        yield connection


def _said(connection: ssl.SSLSocket) -> str:
    connection.sendall(b"?")
    return connection.recv(100).decode().strip()


def test_tls_before_1_3_is_refused(served: Served, tmp_path: Path) -> None:
    context = _context(tmp_path, None)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    with pytest.raises((ssl.SSLError, ConnectionError)), _connected(served, context):
        pass
    with _connected(served, _context(tmp_path, None)) as connection:
        assert connection.version() == "TLSv1.3"


def test_resumed_session_of_untrusted_ca_is_refused(served: Served, tmp_path: Path) -> None:
    served.tls.trust(_FORMER.certificate)
    context = _context(tmp_path, _FORMER)
    with _connected(served, context) as connection:
        assert _said(connection) == "jane trusted"
        session = connection.session
        assert session is None or not session.has_ticket
        served.tls.trust(_TRUSTED.certificate)
        # The connection that is open still names jane: who trusts her must look at `trusts`.
        assert _said(connection) == "jane not trusted"
    # A server of TLS 1.3 refuses a client's certificate after the client's part of the handshake.
    said = ""
    with suppress(ssl.SSLError, ConnectionError), _connected(served, context, session) as connection:
        said = _said(connection)
    assert said == ""


def test_no_session_is_ever_resumed(served: Served, tmp_path: Path) -> None:
    served.tls.trust(_TRUSTED.certificate)
    context = _context(tmp_path, _TRUSTED)
    with _connected(served, context) as connection:
        assert _said(connection) == "jane trusted"
        session = connection.session
    with _connected(served, context, session) as connection:
        assert _said(connection) == "jane trusted"
        assert not connection.session_reused


def test_new_serving_certificate_keeps_trust(served: Served, tmp_path: Path) -> None:
    served.tls.trust(_TRUSTED.certificate)
    with _connected(served, _context(tmp_path, _TRUSTED)) as connection:
        assert _said(connection) == "jane trusted"
        served.tls._current = served.tls._build()
        assert _said(connection) == "jane trusted"
        served.tls.trust("")
        assert _said(connection) == "jane not trusted"


async def test_changed_client_ca_ends_open_connections(serve_gateway: ServeGateway, tmp_path: Path) -> None:
    gateway = await serve_gateway()
    gateway.tls.trust(_FORMER.certificate)
    files = tmp_path / "client.crt", tmp_path / "client.key"
    _FORMER.client("jane", ()).write(*files)
    gateway.context.load_cert_chain(*files)
    reader, writer = await gateway.connect()
    request = b"GET /executions HTTP/1.1\r\nHost: a\r\n\r\n"
    writer.write(request)
    # Jane is known and may see it; what is away here is PostgreSQL.
    assert (await reader.readuntil(b"}\n")).startswith(b"HTTP/1.1 503 ")
    assert gateway.reviews.asked[-1][1]["user"] == "jane"
    gateway.tls.trust(_TRUSTED.certificate)
    writer.write(request)
    answer = await reader.read()
    assert answer.startswith(b"HTTP/1.1 401 ")
    assert b"reconnect" in answer
