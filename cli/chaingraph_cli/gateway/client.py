"""The gateway's client: finds the gateway, authenticates, reads pages and follows event streams.

Uses http.client, which imports in 35 ms; httpx takes ten times as long.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import json
import os
import ssl
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, urlencode, urlsplit

from chaingraph_cli import discovery
from chaingraph_cli.errors import CliError, Forbidden, NotFound, Unreachable, Usage
from chaingraph_cli.execution import is_id
from chaingraph_cli.gateway import bound_tokens
from chaingraph_cli.gateway.credentials import Credentials, Login, context_of, credentials_of
from chaingraph_cli.gateway.event_stream import Event, StreamEnd, blocks
from chaingraph_cli.gateway.options import CA_VARIABLE, VARIABLE
from chaingraph_cli.kubectl import PERMISSIONS_HINT, Kubectl, Result, error_of, finish

_LOOPBACK: Final = ("127.0.0.1", "::1", "localhost")
_PIECE_BYTES: Final = 1 << 18
_CONNECT_SECONDS: Final = 10.0
_BRIEF_SECONDS: Final = 2.0
_SILENCE_SECONDS: Final = 60.0
"""The gateway sends something more often, at least a comment; after such a silence the connection is dead."""
_AGAIN_SECONDS: Final = 1.0
_TRIES: Final = 8
"""Failures in a row, without anything received in between."""
_EXECUTION: Final = "ChainGraph-Execution"
"""The header with the execution id of a stream."""


class Unauthenticated(Unreachable):
    """The gateway rejects the credentials: expired, or not of this cluster."""


class Unknown(NotFound):
    """The gateway does not know the execution, or the user may not see it.

    Args:
        deleted: when the execution of that name was deleted; '' if there was none.
    """

    def __init__(self, message: str, deleted: str) -> None:
        super().__init__(message)
        self.deleted = deleted


class Removed(NotFound):
    """The execution was removed from the database while it was followed."""


@dataclass(frozen=True)
class Gateway:
    """The gateway, with the credentials of the current user.

    Attributes:
        namespace: the namespace of the command line, else of the context.
        connect_seconds: the timeout of a connection attempt.
    """

    url: str
    ca: str
    login: Login
    namespace: str
    connect_seconds: float = _CONNECT_SECONDS

    @classmethod
    def of(cls, args: argparse.Namespace, kubectl: Kubectl) -> Gateway:
        """Find the gateway of the command line, else of the environment, else of the cluster.

        Raises:
            CliError: there is none, or the user of the kubeconfig has no credentials for it.
        """
        return cls._found(kubectl, args.gateway, args.gateway_ca)

    @classmethod
    def optional(cls, kubectl: Kubectl) -> Gateway:
        """Find the gateway for verbs that have no options for it and can do without it; connects with a short timeout.

        Raises:
            CliError: as `of`.
        """
        found = cls._found(kubectl, os.environ.get(VARIABLE, ""), os.environ.get(CA_VARIABLE, ""))
        return replace(found, connect_seconds=_BRIEF_SECONDS)

    @classmethod
    def _found(cls, kubectl: Kubectl, given: str, given_ca: str) -> Gateway:
        """Find the gateway and the credentials, with two kubectl processes side by side."""
        config = kubectl.start("config", "view", "--minify", "--flatten", "--raw", "-o", "json")
        found = None
        if not (given and given_ca):
            found = kubectl.start("get", "configmap", discovery.NAME, "-o", "json", namespace=discovery.NAMESPACE)
        context = context_of(_config(finish(config)))
        config_map = finish(found) if found else None
        url, ca = _location(given, given_ca, config_map)
        namespace = kubectl.namespace or context.namespace
        login = Login(bound_tokens.reader(kubectl, namespace) or (lambda: credentials_of(context)))
        return cls(url.rstrip("/"), ca, login, namespace)

    def path_of(self, name: str, what: str = "") -> str:
        """Return the path of a page of an execution, by its id or by its name in the namespace."""
        where = "" if is_id(name) else f"/namespaces/{quote(self.namespace)}"
        return f"{where}/executions/{quote(name)}" + (f"/{what}" if what else "")

    def get(self, path: str, **parameters: str) -> dict[str, Any]:
        """Read a page of JSON.

        Raises:
            CliError: the gateway is unreachable or rejects the request.
        """
        with self._asked(path, parameters, {}) as response, self._as_cli_errors():
            content: dict[str, Any] = json.loads(response.read())
        return content

    @contextlib.contextmanager
    def value(self, path: str) -> Iterator[Iterator[bytes]]:
        """Read a page of any size in pieces.

        Raises:
            CliError: the gateway is unreachable, rejects the request, or closes the connection early.
        """
        with self._asked(path, {}, {}) as response:
            yield self._pieces(response)

    def _pieces(self, response: http.client.HTTPResponse) -> Iterator[bytes]:
        while True:
            with self._as_cli_errors():
                piece = response.read(_PIECE_BYTES)
            if not piece:
                break
            yield piece
        if response.length:
            raise Unreachable(
                f"The gateway {self.url} closed the connection before the value was complete.",
                "The printed value is incomplete. Try again.",
            )

    def pages(self, path: str, **parameters: str) -> Iterator[dict[str, Any]]:
        """Yield the pages of a list over one connection, by the `cursor` of each.

        Raises:
            CliError: the gateway is unreachable or rejects a request.
        """
        with self._connected() as (connection, who):
            cursor: dict[str, str] = {}
            while True:
                with self._as_cli_errors():
                    page: dict[str, Any] = json.loads(
                        self._answer(connection, who, path, parameters | cursor, {}).read()
                    )
                yield page
                if not page.get("cursor"):
                    return
                cursor = {"cursor": str(page["cursor"])}

    def events(
        self, path: str, *, from_index: int | None = None, types: tuple[str, ...] = (), follow: bool = True
    ) -> Iterator[Event | StreamEnd]:
        """Yield the events of an execution in order, each once; reconnects after a lost connection.

        The last item is a `StreamEnd` if the execution has finished, unless a connection was lost just before. A
        reconnect uses the execution id, because another execution may get the name.

        Args:
            path: of the events.
            from_index: index of the first event; None for the very first.
            types: event types to include; empty for all.
            follow: wait for new events.

        Raises:
            Removed: the execution was removed while it was followed.
            CliError: the gateway rejects the request, or is unreachable for long.
        """
        parameters = {"follow": str(follow).lower()} | ({"types": ",".join(types)} if types else {})
        if from_index is not None:
            parameters["fromIndex"] = str(from_index)
        last: str | None = None
        tries, begun, renewed = 0, False, False
        while True:
            headers = {"Accept": "text/event-stream"} | ({"Last-Event-ID": last} if last is not None else {})
            try:
                with self._asked(path, parameters, headers) as response:
                    if response.status == http.HTTPStatus.NO_CONTENT:
                        return
                    begun, renewed = True, False
                    path = _by_id(path, response)
                    for block in blocks(response):
                        last = block.id if block.id is not None else last
                        tries = 0 if block.shows_life else tries
                        if block.content is not None:
                            yield block.content
                        if isinstance(block.content, StreamEnd):
                            return
                if not follow:
                    return
            except NotFound as absent:
                if not begun:
                    raise
                raise Removed("The execution was removed from the database while its events were followed.") from absent
            except Unauthenticated:
                if renewed or not self.login.others():
                    raise
                renewed = True
                continue
            except (Unreachable, OSError, http.client.HTTPException) as error:
                tries += 1
                if not begun or tries > _TRIES:
                    raise _unreachable(self.url, error) from error
            time.sleep(_AGAIN_SECONDS)

    @contextlib.contextmanager
    def _asked(
        self, path: str, parameters: Mapping[str, str], headers: Mapping[str, str]
    ) -> Iterator[http.client.HTTPResponse]:
        with self._connected() as (connection, who):
            yield self._answer(connection, who, path, parameters, headers)

    @contextlib.contextmanager
    def _connected(self) -> Iterator[tuple[http.client.HTTPConnection, Credentials]]:
        """Open a connection for the block, with the current credentials."""
        who = self.login.credentials()
        address = urlsplit(self.url)
        host, port = address.hostname or "", address.port
        connection: http.client.HTTPConnection
        if address.scheme == "https":
            connection = http.client.HTTPSConnection(host, port, timeout=self.connect_seconds, context=self._tls(who))
        else:
            connection = http.client.HTTPConnection(host, port, timeout=self.connect_seconds)
        try:
            with self._as_cli_errors():
                connection.connect()
                connection.sock.settimeout(_SILENCE_SECONDS)
            yield connection, who
        finally:
            connection.close()

    def _answer(
        self,
        connection: http.client.HTTPConnection,
        who: Credentials,
        path: str,
        parameters: Mapping[str, str],
        headers: Mapping[str, str],
    ) -> http.client.HTTPResponse:
        """Send a request and return the response, its body unread.

        Raises:
            CliError: there is none, or it is an error.
        """
        sent = dict(headers)
        if who.token:
            sent["Authorization"] = f"Bearer {who.token}"
        query = f"?{urlencode(parameters)}" if parameters else ""
        with self._as_cli_errors():
            connection.request("GET", f"{urlsplit(self.url).path}{path}{query}", headers=sent)
            response = connection.getresponse()
        if response.status >= 400:
            raise _error_response(response)
        return response

    @contextlib.contextmanager
    def _as_cli_errors(self) -> Iterator[None]:
        """Turn errors of the connection into `CliError`."""
        try:
            yield
        except (OSError, http.client.HTTPException) as error:
            raise _unreachable(self.url, error) from error

    def _tls(self, who: Credentials) -> ssl.SSLContext:
        try:
            # With `cadata` the system's certificates are not read, which takes 20 ms.
            context = ssl.create_default_context(cadata=self.ca or None)
        except ssl.SSLError as error:
            raise Usage("The CA certificates of the gateway (ca.crt) are not valid PEM.") from error
        if who.certificate:
            # OpenSSL reads client certificates from files alone.
            with tempfile.NamedTemporaryFile("w", suffix=".pem", encoding="ascii") as file:
                file.write(f"{who.certificate}\n{who.key}\n")
                file.flush()
                try:
                    context.load_cert_chain(file.name)
                except ssl.SSLError as error:
                    raise Usage(
                        f"The client certificate or key of user {who.user!r} is invalid: {error.reason}."
                    ) from error
        return context


def _config(done: Result) -> dict[str, Any]:
    if done.code != 0 and "current-context" in done.stderr:
        return {}
    return done.json()


def _location(url: str, ca_file: str, config_map: Result | None) -> tuple[str, str]:
    """Return the gateway's address and CA certificates, from the command line, else from the ConfigMap."""
    where = f"ConfigMap {discovery.NAMESPACE}/{discovery.NAME}"
    data: Mapping[str, str] = {}
    if config_map is not None and config_map.code == 0:
        data = config_map.json().get("data") or {}
    elif config_map is not None and not url:
        error = error_of(config_map.stderr)
        if isinstance(error, Unreachable):
            raise error
        raise _unknown(f"user may not read {where}" if isinstance(error, Forbidden) else f"{where} not found")
    address = url or data.get(discovery.GATEWAY, "")
    if not address:
        raise _unknown(f"{where} has no key {discovery.GATEWAY!r}")
    parts = urlsplit(address)
    if parts.scheme not in ("https", "http") or not parts.hostname:
        raise Usage(f"Invalid gateway address {address!r}.", "Use https://HOST:PORT")
    if parts.scheme == "http" and parts.hostname not in _LOOPBACK:
        raise Usage(f"{address} would send your credentials unencrypted.", "Use the https address of the gateway.")
    if not ca_file:
        return address, data.get(discovery.CA, "")
    try:
        return address, Path(ca_file).read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError) as error:
        raise Usage(f"Cannot read --gateway-ca {ca_file}: {error}") from error


def _unknown(why: str) -> CliError:
    return Unreachable(
        f"Cannot find the gateway of this cluster: {why}.",
        f"Set --gateway URL or {VARIABLE}. The Helm chart and `chaingraph up` create the ConfigMap.",
    )


def _unreachable(url: str, error: Exception) -> CliError:
    if isinstance(error, CliError):
        return error
    if isinstance(error, ssl.SSLCertVerificationError):
        return Unreachable(
            f"Cannot verify the certificate of the gateway {url}: {error.verify_message}.",
            f"Set its CA certificates: --gateway-ca FILE or {CA_VARIABLE}",
        )
    why = getattr(error, "strerror", None) or str(error) or type(error).__name__
    if isinstance(error, TimeoutError):
        why = "timed out"
    return Unreachable(
        f"Cannot reach the gateway {url}: {why}.",
        f"Check that it is running, or set its address: --gateway URL or {VARIABLE}",
    )


def _error_response(response: http.client.HTTPResponse) -> CliError:
    """Make an error of the gateway's error response."""
    try:
        document = json.loads(response.read())
        message = str(document["message"])
    except (ValueError, KeyError, TypeError, OSError):
        document, message = {}, f"HTTP {response.status} {response.reason}"
    message = f"The gateway answered: {message}"
    match response.status:
        case 400:
            return Usage(message)
        case 401:
            return Unauthenticated(message, "Check who you are: kubectl auth whoami")
        case 403:
            return Forbidden(message, PERMISSIONS_HINT)
        case 404:
            return Unknown(message, str(document.get("deletedTime") or ""))
        case 429 | 502 | 503 | 504:
            return Unreachable(message)
        case _:
            return CliError(message)


def _by_id(path: str, response: http.client.HTTPResponse) -> str:
    """Return the path of the same events by the execution id of the response, if it has one."""
    found = response.headers.get(_EXECUTION, "")
    return f"/executions/{quote(found)}/events" if is_id(found) else path
