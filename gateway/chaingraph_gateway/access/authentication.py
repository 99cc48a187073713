"""Authenticate the caller: by a bearer token that the API server accepts, or a client certificate of the cluster's CA.

As in the API server, a certificate takes precedence over a token.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import ssl
import time
from collections import Counter, OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

import orjson

from chaingraph_gateway.cache import Cache
from chaingraph_gateway.cluster import Cluster
from chaingraph_gateway.errors import Busy, TooMany, Unauthenticated

_REFUSED_SECONDS: Final = 5.0
_TOKENS: Final = 10_000
_SCHEMES: Final = ("basic", "digest", "negotiate", "ntlm", "bearer", "token", "hoba", "mutual")
"""Schemes that may be named for an invalid header. Anything else in it may be a token."""
_LONGEST_TOKEN: Final = 16_384
_WAITING: Final = 8
_WAITING_OF_ADDRESS: Final = 2
"""Maximum tokens under review or waiting for it, in multiples of `max_reviews`."""
AUTHENTICATED: Final = "system:authenticated"
_HOW: Final = (
    "send `Authorization: Bearer TOKEN` with a token of the cluster (`kubectl create token SERVICEACCOUNT` creates "
    "one), or use a client certificate of the cluster"
)

PeerCertificate = Mapping[str, Any]
"""`ssl`'s description of a verified certificate."""


@dataclass(frozen=True)
class Caller:
    """An authenticated caller, as the API server names them in its reviews."""

    name: str
    uid: str = ""
    groups: tuple[str, ...] = ()
    extra: tuple[tuple[str, tuple[str, ...]], ...] = ()


class Attempts(Protocol):
    """Counts the invalid tokens of an address."""

    def check(self, address: str) -> None:
        """Check an address's limit.

        Raises:
            TooMany: it is exceeded.
        """

    def failed(self, address: str) -> None:
        """Record another invalid token."""


@dataclass(frozen=True)
class TokenRules:
    """The rules for tokens, as in the settings of the same names.

    Attributes:
        audiences: audiences a token may be bound to, so that it is valid only here.
        accept_api_tokens: accept tokens for the API server too, such as those in most kubeconfigs.
        remember_seconds: how long an accepted token is remembered.
        max_reviews: maximum concurrent token reviews; others wait.
    """

    audiences: tuple[str, ...] = ()
    accept_api_tokens: bool = True
    remember_seconds: float = 10.0
    max_reviews: int = 8


class Authenticator:
    """Authenticates callers. Tokens are remembered by their hash."""

    def __init__(self, cluster: Cluster, rules: TokenRules, attempts: Attempts) -> None:
        self._cluster = cluster
        self._rules = rules
        self._attempts = attempts
        refused_seconds = min(_REFUSED_SECONDS, rules.remember_seconds)
        self._callers: Cache[bytes, Caller | None] = Cache(
            _TOKENS, lambda caller: refused_seconds if caller is None else rules.remember_seconds
        )
        self._accepted: OrderedDict[bytes, None] = OrderedDict()
        self._asking: Counter[str] = Counter()
        self._reviews = asyncio.Semaphore(rules.max_reviews)

    async def caller(self, authorization: str | None, certificate: PeerCertificate | None, address: str) -> Caller:
        """Authenticate by the header `Authorization` and the certificate of the connection.

        Args:
            address: the client address of the request.

        Raises:
            Unauthenticated: no credentials, or invalid ones.
            TooMany, Busy: too many invalid tokens from there, or too many token reviews.
            ServiceUnavailable: the API server does not answer.
        """
        by_certificate = of_certificate(certificate) if certificate else None
        if by_certificate is not None:
            return by_certificate
        token = _token(authorization)
        key = hashlib.sha256(token.encode()).digest()
        if not self._callers.kept(key):
            self._admit(key, address)
            # Counted before the review starts, or a burst of tokens would all be admitted at once.
            self._asking[address] += 1
        found = await self._callers.get(key, lambda: self._review(token, key, address))
        if found is None:
            raise Unauthenticated(f"the API server does not accept the token, it may have expired: {self._how()}")
        return found

    def _admit(self, key: bytes, address: str) -> None:
        """Admit a token for review. One that was valid before is always admitted, whatever other tokens come."""
        if key in self._accepted:
            return
        self._attempts.check(address)
        most = self._rules.max_reviews
        waiting, of_address = most * _WAITING, most * _WAITING_OF_ADDRESS
        if self._asking[address] >= of_address:
            raise TooMany(
                f"{of_address} tokens from {address} are under review, which is the limit "
                f"(twice CHAINGRAPH_MAX_TOKEN_REVIEWS={most}); try again",
                retry_seconds=1,
                limit=of_address,
                setting="CHAINGRAPH_MAX_TOKEN_REVIEWS",
            )
        if self._asking.total() >= waiting:
            raise Busy(
                f"{waiting} tokens are under review, which is the limit "
                f"(eight times CHAINGRAPH_MAX_TOKEN_REVIEWS={most}); try again",
                limit=waiting,
                setting="CHAINGRAPH_MAX_TOKEN_REVIEWS",
            )

    async def _review(self, token: str, key: bytes, address: str) -> Caller | None:
        claimed = claimed_audiences(token)
        audiences = [each for each in self._rules.audiences if each in claimed]
        if not audiences and not self._rules.accept_api_tokens:
            audiences = list(self._rules.audiences)
        spec = {"token": token} | ({"audiences": audiences} if audiences else {})
        try:
            async with self._reviews:
                status = await self._cluster.review("authentication.k8s.io", "tokenreviews", spec)
        finally:
            self._asking[address] -= 1
            if self._asking[address] <= 0:
                del self._asking[address]
        found = of_review(status, audiences)
        if found is None:
            self._attempts.failed(address)
            self._accepted.pop(key, None)
        else:
            self._accepted[key] = None
            self._accepted.move_to_end(key)
            while len(self._accepted) > _TOKENS:
                self._accepted.popitem(last=False)
        return found

    def _how(self) -> str:
        if self._rules.accept_api_tokens:
            return _HOW
        audiences = " or ".join(self._rules.audiences)
        return (
            f"this gateway only accepts tokens for the audience {audiences}; "
            f"`kubectl create token SERVICEACCOUNT --audience={self._rules.audiences[0]}` creates one"
        )


def claimed_audiences(token: str) -> frozenset[str]:
    """Return the audiences that a token claims. Nothing is verified: they decide what to ask the API server."""
    parts = token.split(".")
    if len(parts) != 3:
        return frozenset()
    try:
        claims = orjson.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except (binascii.Error, ValueError):
        return frozenset()
    found = claims.get("aud") if isinstance(claims, dict) else None
    return frozenset(each for each in (found if isinstance(found, list) else [found]) if isinstance(each, str))


def of_review(status: Mapping[str, Any], audiences: Sequence[str] = ()) -> Caller | None:
    """Return the caller named in the status of a TokenReview; None when the token was not accepted.

    Args:
        audiences: the requested ones. An API server without audience support answers without any: then the token is for
            the API server itself.
    """
    if not status.get("authenticated"):
        return None
    if audiences and not set(audiences) & set(status.get("audiences") or ()):
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
    """Return the owner of a verified client certificate: CN is the user, O are the groups. None without a CN.

    Raises:
        Unauthenticated: it has expired since the connection was opened.
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
    """Return the token of a header. No part of an invalid header is repeated, unless it is known not to be secret."""
    if not authorization:
        raise Unauthenticated(f"the request has no credentials: {_HOW}")
    scheme, _, token = authorization.partition(" ")
    token = token.strip()
    if scheme.lower() != "bearer" or not token:
        named = f"scheme {scheme!r}" if scheme.lower() in _SCHEMES else "unknown scheme"
        raise Unauthenticated(f"Authorization: {named} without a token, or not supported: {_HOW}")
    if not (token.isascii() and token.isprintable()) or " " in token:
        raise Unauthenticated(f"Authorization: tokens consist of printable ASCII characters without spaces: {_HOW}")
    if len(token) > _LONGEST_TOKEN:
        raise Unauthenticated(f"Authorization: the token is longer than {_LONGEST_TOKEN} characters: {_HOW}")
    return token
