"""The operator's trace span: the creation of an execution."""

from __future__ import annotations

import time

from chaingraph_runtime import tracing
from chaingraph_runtime.tracing import Role, Span, SpanId
from chaingraph_store import trace_keys as keys
from chaingraph_store.commands.creation import NewExecution


def created(new: NewExecution, *, began: int, applied_by: str) -> None:
    """Record the span, if tracing is on.

    Args:
        began: nanoseconds since 1970.
        applied_by: a W3C traceparent of whatever applied the resource, or nothing. It becomes a link and not the
            parent:
            workers derive the trace from the execution's id, and would have to be given any other.
    """
    tracer = tracing.active()
    if tracer is None:
        return
    tracer.record(
        Span(
            name=keys.CREATE,
            id=SpanId(new.id, keys.create(new.id)),
            parent=None,
            began=began,
            ended=time.time_ns(),
            attributes={
                keys.EXECUTION_ID: new.id,
                keys.NAMESPACE: new.namespace,
                keys.NAME: new.name,
                keys.ROOT_ID: new.id,
                keys.QUEUE: new.queue,
                keys.FLOW: new.flow_name,
                keys.REVISION: new.flow_revision,
            },
            links=(applied_by,) if applied_by else (),
            role=Role.PRODUCER,
        )
    )
