"""Who asks: the bearer of a token that the API server knows, or the owner of a client certificate of the cluster's CA.

As at the API server, a certificate goes before a token. Called for every request by `access`.
"""

from __future__ import annotations

import hashlib
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from chaingraph_gateway.cache import Cache
from chaingraph_gateway.cluster import Cluster
from chaingraph_gateway.errors import Unauthenticated

_ACCEPTED_SECONDS: Final = 60.0
_REFUSED_SECONDS: Final = 5.0
_TOKENS: Final = 10_000
_LONGEST_TOKEN: Final = 16_384
AUTHENTICATED: Final = "system:authenticated"
_HOW: Final = (
    "send `Authorization: Bearer TOKEN` with a token of the cluster (`kubectl create token SERVICEACCOUNT` makes one), "
    "or use a client certificate of the cluster"
)

PeerCertificate = Mapping[str, Any]
"""What `ssl` says of a certificate that it has verified."""


@dataclass(frozen=True)
class Caller:
    """Somebody, as the API server names them in its reviews."""

    name: str
    uid: str = ""
    groups: tuple[str, ...] = ()
    extra: tuple[tuple[str, tuple[str, ...]], ...] = ()


class Authenticator:
    """Says who asks. Tokens are remembered by their hash, for a minute at most."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._callers: Cache[bytes, Caller | None] = Cache(
            _TOKENS, lambda caller: _REFUSED_SECONDS if caller is None else _ACCEPTED_SECONDS
        )

    async def caller(self, authorization: str | None, certificate: PeerCertificate | None) -> Caller:
        """Who asks, by the header `Authorization` and the certificate of the connection.

        Raises:
            Unauthenticated: nobody, or somebody unknown.
            Away: the API server does not answer.
        """
        by_certificate = of_certificate(certificate) if certificate else None
        if by_certificate is not None:
            return by_certificate
        token = _token(authorization)
        found = await self._callers.get(hashlib.sha256(token.encode()).digest(), lambda: self._review(token))
        if found is None:
            raise Unauthenticated(f"the API server does not accept the token; it may have expired: {_HOW}")
        return found

    async def _review(self, token: str) -> Caller | None:
        status = await self._cluster.review("authentication.k8s.io", "tokenreviews", {"token": token})
        return of_review(status)


def of_review(status: Mapping[str, Any]) -> Caller | None:
    """Whom the status of a TokenReview names, None when it was not accepted."""
    if not status.get("authenticated"):
        return None
    user = status.get("user") or {}
    extra = {str(key): tuple(values or ()) for key, values in (user.get("extra") or {}).items()}
    return Caller(
        name=str(user.get("username", "")),
        uid=str(user.get("uid", "")),
        groups=tuple(user.get("groups") or ()),
        extra=tuple(sorted(extra.items())),
    )


def of_certificate(certificate: PeerCertificate) -> Caller | None:
    """The owner of a verified client certificate: its CN is the user, its O are the groups. None without a CN.

    Raises:
        Unauthenticated: it has expired since the connection was made.
    """
    if ssl.cert_time_to_seconds(certificate["notAfter"]) < time.time():
        raise Unauthenticated(f"the client certificate expired on {certificate['notAfter']}: {_HOW}")
    fields = [field for part in certificate.get("subject", ()) for field in part]
    names = [value for key, value in fields if key == "commonName"]
    if not names or not names[-1]:
        return None
    groups = tuple(value for key, value in fields if key == "organizationName")
    return Caller(name=names[-1], groups=(*groups, AUTHENTICATED))


def _token(authorization: str | None) -> str:
    if not authorization:
        raise Unauthenticated(f"the request says not who asks: {_HOW}")
    scheme, _, token = authorization.partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise Unauthenticated(f"Authorization: the scheme {scheme!r} without a token or of another kind: {_HOW}")
    if not token.isascii():
        raise Unauthenticated(f"Authorization: tokens have ASCII characters alone: {_HOW}")
    if len(token) > _LONGEST_TOKEN:
        raise Unauthenticated(f"Authorization: no token is longer than {_LONGEST_TOKEN} characters: {_HOW}")
    return token.strip()
