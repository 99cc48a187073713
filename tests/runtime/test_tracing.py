"""Traces: when they are on, and that ids follow from keys."""

from __future__ import annotations

import hashlib
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chaingraph_runtime import tracing
from chaingraph_runtime.tracing import Tracer, TracingUnavailable, span_id, trace_id, wanted

ENDPOINT = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318"}


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": " "}, False),
        (ENDPOINT, True),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://collector:4318/v1/traces"}, True),
        (ENDPOINT | {"OTEL_SDK_DISABLED": "true"}, False),
        (ENDPOINT | {"OTEL_SDK_DISABLED": "false"}, True),
        (ENDPOINT | {"OTEL_TRACES_EXPORTER": "none"}, False),
        ({"OTEL_SERVICE_NAME": "x"}, False),
    ],
)
def test_tracing_follows_otel_environment(environment: dict[str, str], expected: bool) -> None:
    assert wanted(environment) is expected


def test_tracer_is_absent_without_endpoint(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OTEL_EXPORTER_OTLP_ENDPOINT", raising=False)
    tracing.begin(service="s", instance="i", version="1")
    assert tracing.active() is None


@given(st.text(min_size=1), st.text(min_size=1))
def test_trace_ids_are_valid_and_unique_per_key(one: str, other: str) -> None:
    for found, digits in ((trace_id(one), 32), (span_id(one), 16)):
        assert len(found) == digits
        assert int(found, 16) > 0
    assert (trace_id(one) == trace_id(other)) == (one == other)
    assert (span_id(one) == span_id(other)) == (one == other)


def test_trace_id_matches_documented_hash() -> None:
    assert trace_id("EX1") == hashlib.sha256(b"trace EX1").hexdigest()[:32]


def test_tracer_names_unsupported_protocol(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")
    with pytest.raises(TracingUnavailable, match=r"OTEL_EXPORTER_OTLP_PROTOCOL is 'grpc': only http/protobuf"):
        Tracer(service="s", instance="i", version="1")


def test_tracer_names_missing_libraries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "chaingraph_runtime.tracing_sdk", None)
    with pytest.raises(TracingUnavailable, match=r"Install chaingraph\[tracing\]"):
        Tracer(service="s", instance="i", version="1")
