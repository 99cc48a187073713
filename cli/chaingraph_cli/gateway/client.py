"""Asks the gateway: where it is, who asks, and streams of events that go on over broken connections.

The standard library's HTTP: it is there in 35 ms, where the clients with more comfort take ten times as long to import.
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
from chaingraph_cli.kubectl import Done, Kubectl, error_of, finish

_LOOPBACK: Final = ("127.0.0.1", "::1", "localhost")
_PIECE_BYTES: Final = 1 << 18
_CONNECT_SECONDS: Final = 10.0
_BRIEF_SECONDS: Final = 2.0
_SILENCE_SECONDS: Final = 60.0
"""The gateway says something more often than this, if only a comment; after such a silence the connection is dead."""
_AGAIN_SECONDS: Final = 1.0
_TRIES: Final = 8
"""In a row, without anything received in between."""
_EXECUTION: Final = "ChainGraph-Execution"
"""The header that says whose events a stream has."""


class Unauthenticated(Unreachable):
    """The gateway does not know the user: the token has expired, or never was one of this cluster."""


class Unknown(NotFound):
    """The gateway does not know it, or does not show it.

    Args:
        deleted: when the execution of that name was deleted; '' where there was none.
    """

    def __init__(self, message: str, deleted: str) -> None:
        super().__init__(message)
        self.deleted = deleted


class Removed(NotFound):
    """What was followed is no longer in the ledger."""


@dataclass(frozen=True)
class Gateway:
    """The gateway as the current user reaches it.

    Attributes:
        namespace: the one that the command line or the context means.
        connect_seconds: how long it may take to connect.
    """

    url: str
    ca: str
    login: Login
    namespace: str
    connect_seconds: float = _CONNECT_SECONDS

    @classmethod
    def of(cls, chosen: argparse.Namespace, kubectl: Kubectl) -> Gateway:
        """The one that the command line names, else the environment or the cluster.

        Raises:
            CliError: there is none, or the kubeconfig's user has no credentials for it.
        """
        return cls._found(kubectl, chosen.gateway, chosen.gateway_ca)

    @classmethod
    def by_the_way(cls, kubectl: Kubectl) -> Gateway:
        """For verbs that have no options for it, and can do without: nobody waits long for it.

        Raises:
            CliError: as `of`.
        """
        found = cls._found(kubectl, os.environ.get(VARIABLE, ""), os.environ.get(CA_VARIABLE, ""))
        return replace(found, connect_seconds=_BRIEF_SECONDS)

    @classmethod
    def _found(cls, kubectl: Kubectl, given: str, given_ca: str) -> Gateway:
        """Finds it and the credentials, with two kubectl processes side by side."""
        config = kubectl.start("config", "view", "--minify", "--flatten", "--raw", "-o", "json")
        found = None
        if not (given and given_ca):
            found = kubectl.start("get", "configmap", discovery.NAME, "-o", "json", namespace=discovery.NAMESPACE)
        context = context_of(_config(finish(config)))
        told = finish(found) if found else None
        url, ca = _place(given, given_ca, told)
        namespace = kubectl.namespace or context.namespace
        login = Login(bound_tokens.reader(kubectl, namespace) or (lambda: credentials_of(context)))
        return cls(url.rstrip("/"), ca, login, namespace)

    def path_of(self, name: str, what: str = "") -> str:
        """The path of an execution's page, by its name in the namespace, or by its id."""
        where = "" if is_id(name) else f"/namespaces/{quote(self.namespace)}"
        return f"{where}/executions/{quote(name)}" + (f"/{what}" if what else "")

    def get(self, path: str, **parameters: str) -> dict[str, Any]:
        """A page of JSON.

        Raises:
            CliError: the gateway does not answer, or refuses.
        """
        with self._asked(path, parameters, {}) as response, self._reported():
            content: dict[str, Any] = json.loads(response.read())
        return content

    @contextlib.contextmanager
    def value(self, path: str) -> Iterator[Iterator[bytes]]:
        """A page of any size in pieces, with only one of them in memory.

        Raises:
            CliError: the gateway does not answer, refuses, or ends before the page does.
        """
        with self._asked(path, {}, {}) as response:
            yield self._pieces(response)

    def _pieces(self, response: http.client.HTTPResponse) -> Iterator[bytes]:
        while True:
            with self._reported():
                piece = response.read(_PIECE_BYTES)
            if not piece:
                break
            yield piece
        if response.length:
            raise Unreachable(
                f"The gateway {self.url} ended before the value did: it was written anew, or the connection broke.",
                "What was printed is not whole. Try again.",
            )

    def pages(self, path: str, **parameters: str) -> Iterator[dict[str, Any]]:
        """The pages of a list, one after the other over one connection, by the `cursor` of each.

        Raises:
            CliError: the gateway does not answer, or refuses.
        """
        with self._connected() as (connection, who):
            cursor: dict[str, str] = {}
            while True:
                with self._reported():
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
        """The events of an execution in order, each once, over broken connections and ends of streams.

        Last comes a `StreamEnd` if it has ended, unless a connection was lost just before; without following, only what
        there is. Coming back is by the execution's id, because another one may get its name meanwhile.

        Args:
            from_index: the first event; None for the very first.
            types: only these; none for all.
            follow: also what is still to come.

        Raises:
            Removed: it was removed while it was followed.
            CliError: the gateway refuses, or has been away for too long.
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
                raise Removed("The execution was removed while it was followed.") from absent
            except Unauthenticated:
                if renewed or not self.login.others():
                    raise
                renewed = True
                continue
            except (Unreachable, OSError, http.client.HTTPException) as error:
                tries += 1
                if not begun or tries > _TRIES:
                    raise _away(self.url, error) from error
            time.sleep(_AGAIN_SECONDS)

    @contextlib.contextmanager
    def _asked(
        self, path: str, parameters: Mapping[str, str], headers: Mapping[str, str]
    ) -> Iterator[http.client.HTTPResponse]:
        with self._connected() as (connection, who):
            yield self._answer(connection, who, path, parameters, headers)

    @contextlib.contextmanager
    def _connected(self) -> Iterator[tuple[http.client.HTTPConnection, Credentials]]:
        """A connection, closed afterwards, and who asks by it."""
        who = self.login.credentials()
        address = urlsplit(self.url)
        host, port = address.hostname or "", address.port
        connection: http.client.HTTPConnection
        if address.scheme == "https":
            connection = http.client.HTTPSConnection(host, port, timeout=self.connect_seconds, context=self._tls(who))
        else:
            connection = http.client.HTTPConnection(host, port, timeout=self.connect_seconds)
        try:
            with self._reported():
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
        """The answer to a request, whose body is still to be read.

        Raises:
            CliError: there is none, or it is a refusal.
        """
        sent = dict(headers)
        if who.token:
            sent["Authorization"] = f"Bearer {who.token}"
        query = f"?{urlencode(parameters)}" if parameters else ""
        with self._reported():
            connection.request("GET", f"{urlsplit(self.url).path}{path}{query}", headers=sent)
            response = connection.getresponse()
        if response.status >= 400:
            raise _problem(response)
        return response

    @contextlib.contextmanager
    def _reported(self) -> Iterator[None]:
        """Errors of the connection as errors for people."""
        try:
            yield
        except (OSError, http.client.HTTPException) as error:
            raise _away(self.url, error) from error

    def _tls(self, who: Credentials) -> ssl.SSLContext:
        try:
            # With certificates of its own the system's are neither trusted nor read, which takes 20 ms.
            context = ssl.create_default_context(cadata=self.ca or None)
        except ssl.SSLError as error:
            raise Usage("The gateway's certificates (ca.crt) are no PEM text.") from error
        if who.certificate:
            # OpenSSL takes certificates for a client from files alone.
            with tempfile.NamedTemporaryFile("w", suffix=".pem", encoding="ascii") as file:
                file.write(f"{who.certificate}\n{who.key}\n")
                file.flush()
                try:
                    context.load_cert_chain(file.name)
                except ssl.SSLError as error:
                    raise Usage(
                        f"The client certificate of the user {who.user!r} and its key do not fit together "
                        f"or are damaged: {error.reason}."
                    ) from error
        return context


def _config(done: Done) -> dict[str, Any]:
    if done.code != 0 and "current-context" in done.complaint:
        return {}
    return done.json()


def _place(url: str, ca_file: str, told: Done | None) -> tuple[str, str]:
    """The gateway's address and certificates, from the command line before the ConfigMap."""
    where = f"ConfigMap {discovery.NAME} in {discovery.NAMESPACE}"
    data: Mapping[str, str] = {}
    if told is not None and told.code == 0:
        data = told.json().get("data") or {}
    elif told is not None and not url:
        error = error_of(told.complaint)
        if isinstance(error, Unreachable):
            raise error
        missing = "cannot be read" if isinstance(error, Forbidden) else "is not there"
        raise _unknown(f"{where} {missing}")
    address = url or data.get(discovery.GATEWAY, "")
    if not address:
        raise _unknown(f"{where} has no key {discovery.GATEWAY!r}")
    parts = urlsplit(address)
    if parts.scheme not in ("https", "http") or not parts.hostname:
        raise Usage(f"{address!r} is no address of a gateway.", "It is of the form https://HOST:PORT")
    if parts.scheme == "http" and parts.hostname not in _LOOPBACK:
        raise Usage(f"{address} would carry your credentials unencrypted.", "Use the gateway's https address.")
    if not ca_file:
        return address, data.get(discovery.CA, "")
    try:
        return address, Path(ca_file).read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError) as error:
        raise Usage(f"The certificates of --gateway-ca {ca_file} cannot be read: {error}") from error


def _unknown(why: str) -> CliError:
    return Unreachable(
        f"Nobody says where the gateway of this cluster is: {why}.",
        f"Name it with --gateway URL or {VARIABLE}; `chaingraph up` runs one and writes the ConfigMap.",
    )


def _away(url: str, error: Exception) -> CliError:
    if isinstance(error, CliError):
        return error
    if isinstance(error, ssl.SSLCertVerificationError):
        return Unreachable(
            f"The certificate of the gateway {url} is not the one that was expected: {error.verify_message}.",
            f"Give the certificates that it is to be verified by: --gateway-ca FILE or {CA_VARIABLE}",
        )
    why = getattr(error, "strerror", None) or str(error) or type(error).__name__
    if isinstance(error, TimeoutError):
        why = "it took too long"
    return Unreachable(
        f"The gateway {url} does not answer: {why}.", f"Is it running? Another address: --gateway URL or {VARIABLE}"
    )


def _problem(response: http.client.HTTPResponse) -> CliError:
    """A refusal, in the gateway's words."""
    try:
        document = json.loads(response.read())
        message = str(document["message"])
    except (ValueError, KeyError, TypeError, OSError):
        document, message = {}, f"HTTP {response.status} {response.reason}"
    message = f"The gateway says: {message}"
    match response.status:
        case 400:
            return Usage(message)
        case 401:
            return Unauthenticated(message, "As whom you ask: kubectl auth whoami")
        case 403:
            return Forbidden(message, "Ask for a Role that allows it; what you may do: kubectl auth can-i --list")
        case 404:
            return Unknown(message, str(document.get("deletedTime") or ""))
        case 429 | 502 | 503 | 504:
            return Unreachable(message)
        case _:
            return CliError(message)


def _by_id(path: str, response: http.client.HTTPResponse) -> str:
    """The path of the same events, by the id that the gateway says they are of; the same path if it says none."""
    found = response.headers.get(_EXECUTION, "")
    return f"/executions/{quote(found)}/events" if is_id(found) else path
