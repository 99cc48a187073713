"""Metrics and traces of a run and its nodes."""

from __future__ import annotations

import time
from functools import cache
from typing import Final

from prometheus_client import Counter, Histogram

from chaingraph_crds.node_paths import is_call
from chaingraph_runtime import tracing
from chaingraph_runtime.tracing import Role, Span, SpanId, Tracer
from chaingraph_store import trace_keys as keys
from chaingraph_store.attempts.runs import WAITING, Claim
from chaingraph_store.ids import ExecutionId
from chaingraph_worker import metrics
from chaingraph_worker.supervision.engine import NodeEnd

_MS: Final = 1_000_000
"""Nanoseconds."""


@cache
def _count_of(node_type: str, outcome: str) -> Counter:
    # Looking it up by its labels takes longer than counting.
    return metrics.NODES.labels(node_type, outcome)


@cache
def _seconds_of(node_type: str) -> Histogram:
    return metrics.NODE_SECONDS.labels(node_type)


class RunObserver:
    """Observes one run, from its claim on."""

    def __init__(self, claim: Claim) -> None:
        self._claim = claim
        self._began = time.monotonic()
        if claim.waited_seconds is not None:
            metrics.START_SECONDS.labels(claim.queue).observe(claim.waited_seconds)
        self._spans = _Spans(claim, tracer) if (tracer := tracing.active()) is not None else None

    def node_ended(self, end: NodeEnd) -> None:
        """Record a finished or skipped node, or call of one. Called for each one, so it must be cheap."""
        if end.outcome == WAITING:
            return
        if not is_call(end.node_id):
            _count_of(end.node_type, end.outcome).inc()
            if end.tries:
                _seconds_of(end.node_type).observe((end.finished_at - end.started_at) / 1000)
        if self._spans is not None:
            self._spans.node_ended(end)

    def ended(self, outcome: str, *, reason: str = "", error: str = "") -> None:
        """Record the outcome of the run, with reason and error when it has failed."""
        queue = self._claim.queue
        metrics.ATTEMPTS.labels(queue, outcome).inc()
        metrics.ATTEMPT_SECONDS.labels(queue).observe(time.monotonic() - self._began)
        if self._spans is not None:
            self._spans.ended(outcome, reason, error)


class _Spans:
    """The spans of a run: one for itself, and one below it for each node."""

    def __init__(self, claim: Claim, tracer: Tracer) -> None:
        self._claim = claim
        self._tracer = tracer
        self._key = keys.attempt(claim.execution_id, claim.epoch)
        self._began = time.time_ns()

    def node_ended(self, end: NodeEnd) -> None:
        if end.outcome == "skipped":
            return
        claim = self._claim
        failed = end.outcome == "failed"
        attributes: dict[str, str | int | float | bool] = {
            keys.EXECUTION_ID: claim.execution_id,
            keys.NODE_ID: end.node_id,
            keys.NODE_TYPE: end.node_type,
            keys.NODE_TRIES: end.tries,
            keys.OUTCOME: end.outcome,
        }
        if failed:
            attributes[keys.ERROR_TYPE] = end.reason
        self._tracer.record(
            Span(
                name=f"node {end.node_id}",
                id=SpanId(claim.execution_id, keys.node(claim.execution_id, claim.epoch, end.node_id)),
                parent=self._key,
                began=end.started_at * _MS,
                ended=end.finished_at * _MS,
                attributes=attributes,
                error=end.error if failed else "",
            )
        )

    def ended(self, outcome: str, reason: str, error: str) -> None:
        claim = self._claim
        attributes: dict[str, str | int | float | bool] = {
            keys.EXECUTION_ID: claim.execution_id,
            keys.NAMESPACE: claim.namespace,
            keys.NAME: claim.name,
            keys.ROOT_ID: claim.root_id,
            keys.QUEUE: claim.queue,
            keys.ATTEMPT_NUMBER: claim.attempt,
            keys.RUN: claim.run,
            keys.OUTCOME: outcome,
        }
        if claim.parent_id is not None:
            attributes[keys.PARENT_ID] = claim.parent_id
        if reason:
            attributes[keys.ERROR_TYPE] = reason
        self._tracer.record(
            Span(
                name=keys.ATTEMPT,
                id=SpanId(claim.execution_id, self._key),
                # A child has no creation span, so its trace starts here.
                parent=keys.create(claim.execution_id) if claim.parent_id is None else None,
                began=self._began,
                ended=time.time_ns(),
                attributes=attributes,
                links=() if claim.parent_id is None else (SpanId(claim.parent_id, keys.spawn(claim.parent_id)),),
                error=error,
                role=Role.CONSUMER,
            )
        )


def spawned(execution: ExecutionId, *, root: ExecutionId, children: int, began: int, epoch: int | None) -> None:
    """Record the span of a spawn, if tracing is on.

    Args:
        began: nanoseconds since 1970.
        epoch: of the run that emitted them; None when another worker created them after that one was lost.
    """
    tracer = tracing.active()
    if tracer is None:
        return
    tracer.record(
        Span(
            name=keys.SPAWN,
            id=SpanId(execution, keys.spawn(execution)),
            parent=None if epoch is None else keys.attempt(execution, epoch),
            began=began,
            ended=time.time_ns(),
            attributes={keys.EXECUTION_ID: execution, keys.ROOT_ID: root, keys.CHILDREN: children},
            role=Role.PRODUCER,
        )
    )
