"""TLS of the gateway: its certificate, and client certificates verified by the cluster's CA, both replaceable.

A context cannot forget a trusted certificate. So every handshake gets the current context, from the callback for the
server's name, which is called even when the client sends none.

A resumed session restores a client certificate without verifying it. TLS 1.2 resumes sessions by their id, which Python
cannot turn off. So the gateway only speaks TLS 1.3, and issues no tickets: every handshake is a full one.
"""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path
from typing import Final

import structlog

from chaingraph_gateway.errors import CertificateUnusable

_log = structlog.get_logger(__name__)
_LOOK_SECONDS: Final = 5.0


class _Context(ssl.SSLContext):
    """A context that knows the client CA it was built with."""

    client_ca: str = ""


class ServingTls:
    """The TLS side of the server.

    Attributes:
        context: for the listening socket; it never changes.

    Raises:
        CertificateUnusable: certificate or key is invalid.
    """

    def __init__(self, certificate: Path, key: Path) -> None:
        self._certificate = certificate
        self._key = key
        self._client_ca = ""
        self._stamp = self._look()
        self._current = self._build()
        self.context = self._build()
        self.context.verify_mode = ssl.CERT_OPTIONAL
        self.context.sni_callback = self._choose

    def _choose(self, connection: ssl.SSLObject, _name: str | None, _context: ssl.SSLContext) -> None:
        connection.context = self._current

    def trust(self, client_ca: str) -> None:
        """Verify client certificates by these CA certificates (PEM) from the next handshake on; '' for none.

        Raises:
            CertificateUnusable: they are not certificates.
        """
        before, self._client_ca = self._client_ca, client_ca
        try:
            self._current = self._build()
        except CertificateUnusable:
            self._client_ca = before
            raise

    def trusts(self, connection: ssl.SSLObject | None) -> bool:
        """Whether the client CA is still the one that verified the connection's client certificate.

        Any change of the CA certificates counts: the client reconnects, and its certificate is verified again.
        """
        context = None if connection is None else connection.context
        return isinstance(context, _Context) and context.client_ca == self._client_ca

    async def watch(self) -> None:
        """Load a new serving certificate when its files change, until cancelled."""
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            stamp = self._look()
            if stamp == self._stamp:
                continue
            try:
                self._current = self._build()
            except CertificateUnusable as error:
                _log.error("invalid new serving certificate, keeping the old one", error=str(error))
            else:
                _log.info("serving certificate reloaded", certificate=str(self._certificate))
            self._stamp = stamp

    def _look(self) -> tuple[int, ...]:
        """Return values that change with the files; a mounted Secret changes the targets of the names."""
        try:
            return tuple(number for path in (self._certificate, self._key) for number in _identity(path))
        except OSError:
            return ()

    def _build(self) -> ssl.SSLContext:
        context = _Context(ssl.PROTOCOL_TLS_SERVER)
        context.client_ca = self._client_ca
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.set_alpn_protocols(["http/1.1"])
        # A resumed session would restore a client certificate without verifying it.
        context.num_tickets = 0
        context.options |= ssl.OP_NO_TICKET
        try:
            context.load_cert_chain(self._certificate, self._key)
        except (OSError, ssl.SSLError) as error:
            raise CertificateUnusable(
                f"CHAINGRAPH_TLS_CERTIFICATE {self._certificate}, CHAINGRAPH_TLS_KEY {self._key}: {error}. Provide a "
                "certificate and its key, both in PEM, the key without a password"
            ) from error
        if self._client_ca:
            context.verify_mode = ssl.CERT_OPTIONAL
            try:
                context.load_verify_locations(cadata=self._client_ca)
            except (ssl.SSLError, ValueError) as error:
                raise CertificateUnusable(f"the cluster's client CA: {error}") from error
        return context


def _identity(path: Path) -> tuple[int, int, int]:
    found = path.stat()
    return found.st_ino, found.st_mtime_ns, found.st_size
