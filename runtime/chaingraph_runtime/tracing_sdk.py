"""The parts of the OpenTelemetry libraries that `tracing` uses."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import (
    SERVICE_INSTANCE_ID,
    SERVICE_NAME,
    SERVICE_VERSION,
    OTELResourceDetector,
    Resource,
)
from opentelemetry.sdk.trace import Tracer, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.sdk.trace.sampling import Decision
from opentelemetry.trace import Link, NonRecordingSpan, SpanContext, SpanKind, Status, StatusCode, TraceFlags
from opentelemetry.util.types import Attributes

_SCOPE: Final = "chaingraph"


class GivenIds(RandomIdGenerator):
    """Gives the next span the ids that were set here."""

    def __init__(self) -> None:
        self.next: tuple[int, int] | None = None

    def generate_trace_id(self) -> int:
        return super().generate_trace_id() if self.next is None else self.next[0]

    def generate_span_id(self) -> int:
        return super().generate_span_id() if self.next is None else self.next[1]


def provider(ids: GivenIds, *, service: str, instance: str, version: str) -> TracerProvider:
    """Create a provider that exports in batches, with the sampler and the limits from the environment."""
    ours = Resource({SERVICE_NAME: service, SERVICE_INSTANCE_ID: instance, SERVICE_VERSION: version})
    said = OTELResourceDetector().detect()
    made = TracerProvider(
        id_generator=ids, resource=Resource.get_empty().merge(ours).merge(said), shutdown_on_exit=False
    )
    made.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return made


def tracer(of: TracerProvider) -> Tracer:
    made = of.get_tracer(_SCOPE)
    assert isinstance(made, Tracer), "only a disabled provider creates others"
    return made


def is_sampled(of: TracerProvider, trace_id: int, name: str) -> bool:
    """Whether this trace is sampled: all processes with the same sampler decide the same."""
    decision = of.sampler.should_sample(None, trace_id, name).decision
    return decision is Decision.RECORD_AND_SAMPLE


def context(trace_id: int, span_id: int, sampled: bool) -> SpanContext:
    flags = TraceFlags(TraceFlags.SAMPLED if sampled else TraceFlags.DEFAULT)
    return SpanContext(trace_id, span_id, is_remote=True, trace_flags=flags)


def begin(
    of: Tracer,
    name: str,
    *,
    parent: SpanContext | None,
    role: str,
    attributes: Attributes,
    links: Sequence[SpanContext],
    began: int,
) -> trace.Span:
    """Start a span with these times and ids, whatever span is current."""
    around = trace.set_span_in_context(trace.INVALID_SPAN if parent is None else NonRecordingSpan(parent))
    return of.start_span(
        name,
        context=around,
        kind=SpanKind[role],
        attributes=attributes,
        links=[Link(each) for each in links],
        start_time=began,
        record_exception=False,
        set_status_on_exception=False,
    )


def fail(span: trace.Span, why: str) -> None:
    span.set_status(Status(StatusCode.ERROR, why))
