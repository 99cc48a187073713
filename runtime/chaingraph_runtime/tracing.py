"""OpenTelemetry traces over OTLP/HTTP, off unless OTEL_EXPORTER_OTLP_ENDPOINT is set.

Ids are derived from keys, not drawn: processes that know the same key create spans of one trace independently, and a
log record can name its trace. Spans are recorded when they are over, with both their times. A thread of the library
sends them from a bounded queue: an unavailable collector costs spans, and nothing else.

The libraries are the extra `tracing`. They are imported only with tracing on, and read the standard's other variables
themselves: OTEL_SERVICE_NAME, OTEL_RESOURCE_ATTRIBUTES, OTEL_TRACES_SAMPLER, OTEL_EXPORTER_OTLP_HEADERS, ...
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from functools import lru_cache
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import Tracer as SdkTracer
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import SpanContext

_ENDPOINTS: Final = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_PROTOCOLS: Final = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
_PROTOCOL: Final = "http/protobuf"
_TRACEPARENT: Final = re.compile(r"00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})")

Attributes = Mapping[str, str | int | float | bool]


class TracingUnavailable(Exception):
    """Tracing was requested and is not available. The message says what is missing."""


class Role(Enum):
    """The role of a span: its kind in OpenTelemetry."""

    INTERNAL = auto()
    PRODUCER = auto()
    CONSUMER = auto()


@dataclass(frozen=True, slots=True)
class SpanId:
    """The keys of a span and of its trace."""

    trace: str
    span: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """A span that is over. Times are nanoseconds since 1970.

    Attributes:
        parent: the key of its parent in the same trace; None for a root.
        links: related spans, by their keys or as a W3C traceparent; invalid ones are dropped.
        error: the error that failed it; empty when it succeeded.
    """

    name: str
    id: SpanId
    parent: str | None
    began: int
    ended: int
    attributes: Attributes
    links: Sequence[SpanId | str] = ()
    error: str = ""
    role: Role = Role.INTERNAL


@lru_cache(maxsize=4096)
def trace_id(key: str) -> str:
    """Return the trace id of a key, as 32 hexadecimal digits."""
    return hashlib.sha256(f"trace {key}".encode()).hexdigest()[:32]


def span_id(key: str) -> str:
    """Return the span id of a key, as 16 hexadecimal digits."""
    return hashlib.sha256(f"span {key}".encode()).hexdigest()[:16]


def wanted(environment: Mapping[str, str] | None = None) -> bool:
    """Whether the environment requests tracing."""
    environment = os.environ if environment is None else environment
    if environment.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return False
    if environment.get("OTEL_TRACES_EXPORTER", "").strip().lower() == "none":
        return False
    return any(environment.get(each, "").strip() for each in _ENDPOINTS)


class Tracer:
    """Passes spans to the exporter. For use on one thread.

    Args:
        service: the name of the service, unless OTEL_SERVICE_NAME or OTEL_RESOURCE_ATTRIBUTES have one.
        instance: the name of this process.
        version: of its code.

    Raises:
        TracingUnavailable: the libraries are not installed, or do not support the protocol.
    """

    def __init__(self, *, service: str, instance: str, version: str) -> None:
        for variable in _PROTOCOLS:
            protocol = os.environ.get(variable, "").strip() or _PROTOCOL
            if protocol != _PROTOCOL:
                raise TracingUnavailable(f"{variable} is {protocol!r}: only {_PROTOCOL} is supported. Unset it")
        try:
            from chaingraph_runtime import tracing_sdk as sdk
        except ImportError as error:
            raise TracingUnavailable(
                f"tracing is enabled by {' or '.join(_ENDPOINTS)}, but a library is missing ({error.name}). "
                "Install chaingraph[tracing], or unset it"
            ) from error
        self._sdk = sdk
        self._ids = sdk.GivenIds()
        self._provider: TracerProvider = sdk.provider(self._ids, service=service, instance=instance, version=version)
        self._tracer: SdkTracer = sdk.tracer(self._provider)

    def record(self, span: Span) -> None:
        """Record a span, unless its trace is not sampled. Takes some microseconds and never waits."""
        sdk = self._sdk
        trace = int(trace_id(span.id.trace), 16)
        sampled = sdk.is_sampled(self._provider, trace, span.name)
        self._ids.next = (trace, int(span_id(span.id.span), 16))
        parent = None if span.parent is None else self._context(SpanId(span.id.trace, span.parent), sampled)
        made = sdk.begin(
            self._tracer,
            span.name,
            parent=parent,
            role=span.role.name,
            attributes=span.attributes,
            links=[link for each in span.links if (link := self._linked(each)) is not None],
            began=span.began,
        )
        if span.error:
            sdk.fail(made, span.error)
        made.end(span.ended)

    async def end(self, seconds: float) -> None:
        """Send the remaining spans, at most for this many seconds."""
        loop = asyncio.get_running_loop()
        ended = asyncio.Event()

        def work() -> None:
            self._provider.shutdown()
            if not loop.is_closed():
                loop.call_soon_threadsafe(ended.set)

        # Not in the loop's own threads: at its end, the process would wait for one that waits for the network.
        threading.Thread(target=work, name="end of traces", daemon=True).start()
        try:
            async with asyncio.timeout(seconds):
                await ended.wait()
        except TimeoutError:
            pass

    def _context(self, where: SpanId, sampled: bool) -> SpanContext:
        return self._sdk.context(int(trace_id(where.trace), 16), int(span_id(where.span), 16), sampled)

    def _linked(self, link: SpanId | str) -> SpanContext | None:
        if isinstance(link, SpanId):
            return self._context(link, True)
        found = _TRACEPARENT.fullmatch(link.strip())
        if found is None:
            return None
        return self._sdk.context(int(found[1], 16), int(found[2], 16), bool(int(found[3], 16) & 1))


_active: Tracer | None = None
"""One per process, like its log."""


def active() -> Tracer | None:
    """Return the process's tracer; None with tracing off, which then costs only this call."""
    return _active


def begin(*, service: str, instance: str, version: str) -> None:
    """Start tracing, if the environment requests it. A main calls this once.

    Raises:
        TracingUnavailable: see `Tracer`.
    """
    global _active
    _active = Tracer(service=service, instance=instance, version=version) if wanted() else None


async def end(seconds: float) -> None:
    """End tracing, and send the remaining spans, at most for this many seconds."""
    global _active
    tracer, _active = _active, None
    if tracer is not None:
        await tracer.end(seconds)
