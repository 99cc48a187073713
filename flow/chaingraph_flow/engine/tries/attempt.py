"""Run one try of a node: create it, run it within its timeout, take its outputs."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from chaingraph_flow.context import Emission, NodeContext, NodeWaits, RunResources, WaitKind
from chaingraph_flow.engine.records import Outcome
from chaingraph_flow.engine.result import FailureReason
from chaingraph_flow.engine.tries.supervision import Supervisor
from chaingraph_flow.engine.tries.threads import in_thread
from chaingraph_flow.errors import (
    EgressDenied,
    EmissionRefused,
    LimitExceeded,
    NodeFailed,
    NodeSkipped,
    NotJson,
    TooDeep,
    TooManyChildren,
)
from chaingraph_flow.graph import GraphNode
from chaingraph_flow.limits import Limits
from chaingraph_flow.node import Node, Output, Outputs, Passthrough
from chaingraph_flow.ports.json_values import plain_text, require_json, size_of
from chaingraph_flow.ports.types import check_value
from chaingraph_flow.secrets.scrubbing import Scrubber

REASON = re.compile(r"[A-Z][A-Za-z0-9]{0,62}")
"""The form of a reason that a node gives."""
LONGEST_ERROR = 4096
"""Maximum characters of a failure's message."""


@dataclass(frozen=True, slots=True)
class Ending:
    """How a try ended."""

    outcome: Outcome
    outputs: dict[str, Any]
    message: str = ""
    """For a failure or a skip."""
    reason: str = ""
    emissions: tuple[Emission, ...] = ()
    size: int = 0
    """The size of the outputs, emitted payloads and details (see `json_values.size_of`)."""
    details: Any = None
    """Of a failure, for programs."""
    retryable: bool = True
    retry_after: float | None = None
    """The seconds after which another try may succeed, if that is known."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """A try that continues after a wait. `until`: milliseconds since 1970; None when only a signal ends it."""

    kind: WaitKind
    until: int | None = None
    prompt: str = ""


@dataclass(frozen=True, slots=True)
class Calling:
    """A try that continues with calls.

    Attributes:
        values: the node's inputs by key.
        waited_until: the end of the wait before this pass, in milliseconds since 1970; 0 without one.
    """

    values: dict[str, Any]
    waited_until: int = 0


@dataclass(frozen=True, slots=True)
class NodeWatch:
    """How a try is supervised, and what is reported when it exceeds its timeout."""

    supervisor: Supervisor
    tries: int
    started_at: int
    grace_seconds: float
    """How long a node may take to end after its timeout before its process is ended."""


async def run_attempt(
    cls: type[Node],
    node: GraphNode,
    values: dict[str, Any],
    context: NodeContext,
    seconds: float,
    watch: NodeWatch | None = None,
) -> Ending | Waiting:
    """Run one pass of a node. Only CancelledError passes through: every other exception is an ending.

    A refused emission fails the node even if it caught the exception. Otherwise an event would be lost silently.
    """
    ending = await _ending(cls, node, values, context, seconds, watch)
    if context.refused is not None:
        ending = refused(context.refused)
    return without_secrets(ending, context.resources.scrubber) if isinstance(ending, Ending) else ending


def without_secrets(ending: Ending, scrubber: Scrubber) -> Ending:
    """Return the ending without secrets, and with a message of limited length.

    Everything that leaves the code of a node for journal, events, outputs and other nodes comes past here, except its
    logs and prompts (see `NodeContext`). So a node never gets a secret from another one, whatever a server echoes.
    """
    message = scrubber.text(ending.message)  # before it is cut: a part of a secret would not be found
    if len(message) > LONGEST_ERROR:
        message = message[:LONGEST_ERROR] + "..."
    if not scrubber:
        return ending if message is ending.message else replace(ending, message=message)
    emissions = tuple(
        replace(each, name=scrubber.text(each.name), payload=scrubber.value(each.payload)) for each in ending.emissions
    )
    return replace(
        ending,
        outputs={key: scrubber.value(value) for key, value in ending.outputs.items()},
        message=message,
        reason=scrubber.text(ending.reason),
        emissions=emissions,
        details=scrubber.value(ending.details),
    )


def refused(error: EmissionRefused | LimitExceeded) -> Ending:
    """Return the ending of a try whose outputs or emissions exceed a limit."""
    return _failed(reason_of(error), str(error))


def failed_by(error: NodeFailed, resources: RunResources) -> Ending:
    """Return the ending of a try that failed before the code of its node ran."""
    return without_secrets(_failed_by(error, resources.limits), resources.scrubber)


def reason_of(error: NodeFailed) -> FailureReason:
    """Return the kind of a failure that a node raised."""
    return next((reason for cls, reason in _REASONS if isinstance(error, cls)), FailureReason.NODE_FAILED)


_REASONS: tuple[tuple[type[NodeFailed], FailureReason], ...] = (
    (TooDeep, FailureReason.DEPTH_LIMIT),
    (TooManyChildren, FailureReason.TOO_MANY_CHILDREN),
    (LimitExceeded, FailureReason.LIMIT_EXCEEDED),
    (EgressDenied, FailureReason.EGRESS_DENIED),
)


async def _ending(
    cls: type[Node],
    node: GraphNode,
    values: dict[str, Any],
    context: NodeContext,
    seconds: float,
    watch: NodeWatch | None,
) -> Ending | Waiting:
    """Run the node's code and return how it ended.

    A plain `def run` runs in a thread, and its timeout starts when the thread takes it. Code that continues after a
    timeout or a cancellation cannot be ended from inside. With a supervisor, its process is ended; without one, it is
    left behind and its results are dropped.
    """
    deadline = _Deadline(node.id, seconds, watch)
    try:
        instance = cls()
        attributes = instance.__dict__
        for name, port in cls.ports.items():
            if port.key in values:
                attributes[name] = values[port.key]
        async with deadline.timeout:
            if cls.runs_in_thread:
                work = partial(_in_thread, cls, instance, context, watch)
                await in_thread(work, started=deadline.begin, patient=watch is not None)
            else:
                deadline.begin()
                running = instance.run(context)
                assert running is not None
                await running
        outputs, size = taken_outputs(cls, node, attributes, context.limits)
        size += context.emitted_bytes
        return Ending(Outcome.COMPLETED, outputs, emissions=context.emissions, size=size)
    except asyncio.CancelledError:
        raise
    except NodeWaits as waits:
        return Waiting(waits.kind, waits.until, waits.prompt)
    except NodeSkipped as skipped:
        return Ending(Outcome.SKIPPED, {}, plain_text(str(skipped)))
    except TimeoutError as error:
        if not deadline.timeout.expired():
            return _failed(FailureReason.NODE_FAILED, _described(error))
        return _failed(FailureReason.NODE_TIMEOUT, timed_out(seconds))
    except MemoryError as error:
        if watch is not None:
            watch.supervisor.exhausted(node.id)
        return _failed(FailureReason.NODE_FAILED, _described(error))
    except _InvalidOutput as error:
        return _failed(FailureReason.INVALID_OUTPUT, str(error))
    except NodeFailed as error:
        return _failed_by(error, context.limits)
    except BaseException as error:  # noqa: BLE001 - a node is foreign code: whatever it raises, SystemExit too, is its failure
        return _failed(FailureReason.NODE_FAILED, _described(error))
    finally:
        deadline.over()


def _in_thread(cls: type[Node], instance: Node, context: NodeContext, watch: NodeWatch | None) -> None:
    if watch is None:
        cls.run(instance, context)
        return
    number = watch.supervisor.enter_thread(context.node_id)
    try:
        cls.run(instance, context)
    finally:
        watch.supervisor.leave_thread(number)


class _Deadline:
    """The timeout of one try, and the handling of code that does not end with it."""

    def __init__(self, node_id: str, seconds: float, watch: NodeWatch | None) -> None:
        self.timeout = asyncio.timeout(None)
        self._node_id = node_id
        self._seconds = seconds
        self._watch = watch
        self._timer: asyncio.TimerHandle | None = None
        self._over = False

    def begin(self) -> None:
        """Start the timeout. A thread may call this when the node is no longer awaited."""
        if self._over:
            return
        loop = asyncio.get_running_loop()
        with suppress(RuntimeError):
            self.timeout.reschedule(loop.time() + self._seconds)
        if self._watch is not None:
            self._timer = loop.call_later(self._seconds + self._watch.grace_seconds, self._stuck, self._watch)

    def over(self) -> None:
        """Record that the try has ended."""
        self._over = True
        if self._timer is not None:
            self._timer.cancel()

    def _stuck(self, watch: NodeWatch) -> None:
        watch.supervisor.stuck(self._node_id, watch.tries, watch.started_at, timed_out(self._seconds))


def timed_out(seconds: float) -> str:
    """Return the message of a node that exceeded its timeout."""
    return f"timed out after {seconds:g} s"


class _InvalidOutput(NodeFailed):
    """The node ended, and one of its outputs is invalid."""


def taken_outputs(
    cls: type[Node], node: GraphNode, attributes: dict[str, Any], limits: Limits
) -> tuple[dict[str, Any], int]:
    """Return the outputs that a node has set, validated, and their size.

    The size is checked first: outputs that are too large are neither validated nor written. Raises _InvalidOutput or
    LimitExceeded, naming the output.
    """
    outputs: dict[str, Any] = {}
    for name, port in cls.ports.items():
        if isinstance(port, Output | Passthrough):
            outputs[port.key] = attributes.get(name)
        elif isinstance(port, Outputs):
            found = attributes.get(name) or {}
            extra = sorted(map(str, found.keys() - node.outputs.keys()))
            if extra:
                raise _InvalidOutput(f"the node set an unknown output {extra[0]!r}")
            outputs.update({key: found.get(key) for key in _dynamic_keys(cls, node)})
    size = measured(outputs, limits)
    for key, value in outputs.items():
        if value is None:
            if key not in node.optional_outputs:
                raise _InvalidOutput(f"the node ended without a value for its output {key!r}")
            continue
        try:
            require_json(value, (key,))
        except NotJson as error:
            raise _InvalidOutput(str(error)) from None
        for problem in check_value(node.outputs[key], value, key):
            raise _InvalidOutput(f"the output {problem}")
    return outputs, size


def measured(outputs: Mapping[str, Any], limits: Limits) -> int:
    """Return the size of a node's outputs. Raises LimitExceeded, naming the output."""
    total = 0
    for key, value in outputs.items():
        size = size_of(value, limits.value_bytes)
        if size > limits.value_bytes:
            raise limits.exceeded("value_bytes", f"the output {key!r}")
        total += size
        if total > limits.node_bytes:
            raise limits.exceeded("node_bytes", "all outputs of the node together", total)
    return total


def _dynamic_keys(cls: type[Node], node: GraphNode) -> list[str]:
    fixed = {port.key for port in cls.ports.values() if isinstance(port, Output | Passthrough)}
    return [key for key in node.outputs if key not in fixed]


def _failed(reason: FailureReason, message: str) -> Ending:
    return Ending(Outcome.FAILED, {}, plain_text(message), str(reason))


def _failed_by(error: NodeFailed, limits: Limits) -> Ending:
    """Return the ending by a failure that a node raised. Details that are no JSON, or too large, are left out."""
    own = error.reason if REASON.fullmatch(error.reason) else ""
    ending = _failed(reason_of(error), str(error))
    details, size = error.details, size_of(error.details, limits.value_bytes)
    try:
        require_json(details, ("details",))
    except NotJson:
        details = None
    if details is None or size > limits.value_bytes:
        details, size = None, 0
    return replace(
        ending,
        reason=own or ending.reason,
        details=details,
        size=size,
        retryable=error.retryable,
        retry_after=error.retry_after,
    )


def _described(error: BaseException) -> str:
    try:
        text = str(error)
    except Exception:  # noqa: BLE001 - its own __str__ is foreign code as well
        text = ""
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
