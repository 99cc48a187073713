"""How much of the gateway one address and one caller may take, so that there is something left for the others.

Connections count from their acceptance on, before TLS; requests and streams per address before anybody is asked who
sends them, and per caller afterwards. Every refusal names the setting that it comes from.
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
"""Addresses whose failed tokens are remembered."""
_SPARE: Final = 10
"""One of so many streams is kept for callers who have none yet."""
_MORE: Final = 4
"""An address may have a quarter more connections than are answered: they are told why they are refused."""


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
    """Who shares a limit: a user; all service accounts of a namespace together, because one who has it makes many."""
    if caller.name.startswith(_ACCOUNT):
        return caller.name.rpartition(":")[0]
    return caller.name


class ConnectionCounts:
    """Connections that are open, by address.

    Attributes:
        total: of all addresses.
    """

    def __init__(self, limits: RequestLimits) -> None:
        self._limits = limits
        self._open: Counter[str] = Counter()
        self.total = 0

    def refusal(self, address: str, *, proxy: bool) -> str | None:
        """The setting that another connection of this address would break, None when it may be had."""
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
        """Raises:
        TooMany: the address has more connections than it may have.
        """
        most = self._limits.max_connections_per_address
        if self._open[address] > most:
            raise TooMany(
                f"{address} has more than {most} connections to this gateway, which is its limit "
                "(CHAINGRAPH_MAX_CONNECTIONS_PER_ADDRESS); close some, or have the limit raised",
                limit=most,
                setting="CHAINGRAPH_MAX_CONNECTIONS_PER_ADDRESS",
            )


class Shares:
    """Requests that are being answered and streams that are open, by address and by caller."""

    def __init__(self, limits: RequestLimits) -> None:
        self._limits = limits
        self._by_address: Counter[str] = Counter()
        self._requests: Counter[str] = Counter()
        self._streams: Counter[str] = Counter()
        self._open_streams = 0

    @contextmanager
    def of_address(self, address: str) -> Iterator[None]:
        """One request of an address, streams included.

        Raises:
            TooMany: it has as many as it may have.
        """
        most = self._limits.max_connections_per_address
        if self._by_address[address] >= most:
            raise TooMany(
                f"{address} has {most} requests open at this gateway, which is its limit "
                "(CHAINGRAPH_MAX_CONNECTIONS_PER_ADDRESS); end some, or have the limit raised",
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
        """One request of a caller that is no stream.

        Raises:
            TooMany: it has as many as it may have.
        """
        share, most = share_of(caller), self._limits.max_requests_per_caller
        if self._requests[share] >= most:
            raise TooMany(
                f"{share} has {most} requests open at this gateway, which is the limit of one caller "
                "(CHAINGRAPH_MAX_REQUESTS_PER_CALLER); send the next one when one of them is answered",
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
        """One stream of a caller.

        Raises:
            TooMany: the caller has as many as it may have.
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
                f"{share} has {own} streams open at this gateway, which is the limit of one caller "
                "(CHAINGRAPH_MAX_STREAMS_PER_CALLER); end one of them first",
                limit=most,
                setting="CHAINGRAPH_MAX_STREAMS_PER_CALLER",
            )
        spare = 0 if total < 2 else max(1, total // _SPARE)
        if self._open_streams >= total or (own and self._open_streams >= total - spare):
            kept = f", and keeps {spare} of them for callers who have none" if own and spare else ""
            raise Busy(
                f"this gateway serves {total} streams at most (CHAINGRAPH_MAX_STREAMS){kept}; try again later",
                limit=total,
                setting="CHAINGRAPH_MAX_STREAMS",
            )


class FailedTokens:
    """How many tokens of an address the API server may still be asked about in vain: a bucket that fills again."""

    def __init__(self, limits: RequestLimits) -> None:
        self._per_minute = limits.failed_tokens_per_minute
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def check(self, address: str) -> None:
        """Raises:
        TooMany: too many tokens from there were wrong.
        """
        if self._left(address) < 1:
            seconds = max(1, round(60 / self._per_minute))
            raise TooMany(
                f"the API server has refused {self._per_minute} tokens from {address} within a minute, which is the "
                f"limit (CHAINGRAPH_FAILED_TOKENS_PER_MINUTE); try again in {seconds} s with a token that is valid",
                retry_seconds=seconds,
                limit=self._per_minute,
                setting="CHAINGRAPH_FAILED_TOKENS_PER_MINUTE",
            )

    def failed(self, address: str) -> None:
        """A token from there was wrong."""
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
