"""Limits per client address and per caller, so that capacity is left for others.

Connections count from their acceptance on, before TLS. Requests and streams count per address before authentication,
and per caller afterwards. Every refusal names its setting.
"""

from __future__ import annotations

import time
from collections import Counter, OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from chaingraph_gateway.access.authentication import Caller
from chaingraph_gateway.errors import Busy, TooMany

_ACCOUNT: Final = "system:serviceaccount:"
_ADDRESSES: Final = 10_000
"""Maximum addresses whose failed tokens are remembered."""
_SPARE: Final = 10
"""One in this many streams is reserved for callers that have none yet."""
_MORE: Final = 4
"""An address may open a quarter more connections than are served: they get an error message."""


@dataclass(frozen=True)
class RequestLimits:
    """The limits, as in the settings of the same names."""

    max_connections: int = 2000
    max_connections_per_address: int = 200
    max_streams: int = 1000
    max_streams_per_caller: int = 100
    max_requests_per_caller: int = 30
    failed_tokens_per_minute: int = 60


def share_of(caller: Caller) -> str:
    """Return the key of a shared limit: a user, or all service accounts of a namespace, which can create many."""
    if caller.name.startswith(_ACCOUNT):
        return caller.name.rpartition(":")[0]
    return caller.name


class ConnectionCounts:
    """Open connections, by address.

    Attributes:
        total: of all addresses.
    """

    def __init__(self, limits: RequestLimits) -> None:
        self._limits = limits
        self._open: Counter[str] = Counter()
        self.total = 0

    def refusal(self, address: str, *, proxy: bool) -> str | None:
        """Return the setting that another connection of this address would exceed, or None."""
        if self.total >= self._limits.max_connections:
            return "CHAINGRAPH_MAX_CONNECTIONS"
        most = self._limits.max_connections_per_address
        if not proxy and self._open[address] >= most + max(1, most // _MORE):
            return "CHAINGRAPH_MAX_CONNECTIONS_PER_ADDRESS"
        return None

    def opened(self, address: str) -> None:
        self._open[address] += 1
        self.total += 1

    def closed(self, address: str) -> None:
        self.total -= 1
        _less(self._open, address)

    def check(self, address: str) -> None:
        """Check an address's limit.

        Raises:
            TooMany: it is exceeded.
        """
        most = self._limits.max_connections_per_address
        if self._open[address] > most:
            raise TooMany(
                f"{address} has more than {most} connections to this gateway, which is its limit "
                "(CHAINGRAPH_MAX_CONNECTIONS_PER_ADDRESS); close some, or raise the limit",
                limit=most,
                setting="CHAINGRAPH_MAX_CONNECTIONS_PER_ADDRESS",
            )


class Shares:
    """Running requests and open streams, by address and by caller."""

    def __init__(self, limits: RequestLimits) -> None:
        self._limits = limits
        self._by_address: Counter[str] = Counter()
        self._requests: Counter[str] = Counter()
        self._streams: Counter[str] = Counter()
        self._open_streams = 0

    @contextmanager
    def of_address(self, address: str) -> Iterator[None]:
        """Count one request of an address, streams included.

        Raises:
            TooMany: it has reached its limit.
        """
        most = self._limits.max_connections_per_address
        if self._by_address[address] >= most:
            raise TooMany(
                f"{address} has {most} open requests at this gateway, which is its limit "
                "(CHAINGRAPH_MAX_CONNECTIONS_PER_ADDRESS); end some, or raise the limit",
                limit=most,
                setting="CHAINGRAPH_MAX_CONNECTIONS_PER_ADDRESS",
            )
        self._by_address[address] += 1
        try:
            yield
        finally:
            _less(self._by_address, address)

    @contextmanager
    def request(self, caller: Caller) -> Iterator[None]:
        """Count one request of a caller that is not a stream.

        Raises:
            TooMany: the caller has reached its limit.
        """
        share, most = share_of(caller), self._limits.max_requests_per_caller
        if self._requests[share] >= most:
            raise TooMany(
                f"{share} has {most} open requests at this gateway, which is the limit of one caller "
                "(CHAINGRAPH_MAX_REQUESTS_PER_CALLER); wait for the answer to one of them",
                limit=most,
                setting="CHAINGRAPH_MAX_REQUESTS_PER_CALLER",
            )
        self._requests[share] += 1
        try:
            yield
        finally:
            _less(self._requests, share)

    @contextmanager
    def stream(self, caller: Caller) -> Iterator[None]:
        """Count one stream of a caller.

        Raises:
            TooMany: the caller has reached its limit.
            Busy: the gateway has.
        """
        share = share_of(caller)
        self._check_stream(share)
        self._streams[share] += 1
        self._open_streams += 1
        try:
            yield
        finally:
            self._open_streams -= 1
            _less(self._streams, share)

    def _check_stream(self, share: str) -> None:
        most, total = self._limits.max_streams_per_caller, self._limits.max_streams
        own = self._streams[share]
        if own >= most:
            raise TooMany(
                f"{share} has {own} open streams at this gateway, which is the limit of one caller "
                "(CHAINGRAPH_MAX_STREAMS_PER_CALLER); close one of them first",
                limit=most,
                setting="CHAINGRAPH_MAX_STREAMS_PER_CALLER",
            )
        spare = 0 if total < 2 else max(1, total // _SPARE)
        if self._open_streams >= total or (own and self._open_streams >= total - spare):
            kept = f", {spare} of them reserved for callers without one" if own and spare else ""
            raise Busy(
                f"this gateway serves at most {total} streams (CHAINGRAPH_MAX_STREAMS){kept}; try again later",
                limit=total,
                setting="CHAINGRAPH_MAX_STREAMS",
            )


class FailedTokens:
    """A token bucket for invalid tokens of an address."""

    def __init__(self, limits: RequestLimits) -> None:
        self._per_minute = limits.failed_tokens_per_minute
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def check(self, address: str) -> None:
        """Check an address's limit.

        Raises:
            TooMany: too many tokens from there were invalid.
        """
        if self._left(address) < 1:
            seconds = max(1, round(60 / self._per_minute))
            raise TooMany(
                f"the API server rejected {self._per_minute} tokens from {address} within a minute, which is the "
                f"limit (CHAINGRAPH_FAILED_TOKENS_PER_MINUTE); try again in {seconds} s with a valid token",
                retry_seconds=seconds,
                limit=self._per_minute,
                setting="CHAINGRAPH_FAILED_TOKENS_PER_MINUTE",
            )

    def failed(self, address: str) -> None:
        """Record an invalid token of an address."""
        self._buckets[address] = (time.monotonic(), max(0.0, self._left(address) - 1))
        self._buckets.move_to_end(address)
        while len(self._buckets) > _ADDRESSES:
            self._buckets.popitem(last=False)

    def _left(self, address: str) -> float:
        since, left = self._buckets.get(address, (0.0, float(self._per_minute)))
        return min(float(self._per_minute), left + (time.monotonic() - since) * self._per_minute / 60)


def _less(counter: Counter[str], key: str) -> None:
    counter[key] -= 1
    if counter[key] <= 0:
        del counter[key]
