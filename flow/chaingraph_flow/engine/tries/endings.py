"""Decide the outcome of a try: whether its emissions fit, and whether another try follows.

These are pure decisions. The scheduler calls them in the one place where it processes the end of a node: nodes that end
at the same time are processed one after the other, so each is checked against all those before it.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterable, Sequence

from chaingraph_crds.flow import NodeRetry
from chaingraph_flow.context import Emission, Trigger
from chaingraph_flow.engine.frames import Frames
from chaingraph_flow.engine.options import EngineOptions
from chaingraph_flow.engine.records import Outcome
from chaingraph_flow.engine.result import FailureReason, NodeError
from chaingraph_flow.engine.tries.attempt import Ending, refused
from chaingraph_flow.errors import TooManyChildren
from chaingraph_flow.field_errors import suggestion
from chaingraph_flow.limits import Limits

HTTP_STATUS = re.compile(r"HTTP([1-9])[0-9]{2}")
"""The reason of a failure by the status of a response."""
LONGEST_RETRY_AFTER = 86_400.0
"""The longest delay that a server can ask for, in seconds."""
LIMITS = frozenset(
    (
        FailureReason.DEPTH_LIMIT,
        FailureReason.TOO_MANY_CHILDREN,
        FailureReason.LIMIT_EXCEEDED,
        FailureReason.EGRESS_DENIED,
    )
)
"""Failures that would repeat, so that no other try follows."""


def within_limit(ending: Ending, emitted: int, limit: int) -> Ending:
    """Return the effective ending: a failure, without emissions, when those exceed the limit.

    Args:
        ending: how the try ended.
        emitted: the emissions of the nodes that have ended before. They may exceed a limit that was lowered since: they
            are kept, and no others fit.
        limit: the maximum of the execution.
    """
    own = len(ending.emissions)
    if not own or emitted + own <= limit:
        return ending
    return refused(TooManyChildren(own, emitted, limit))


def within_limits(ending: Ending, frames: Frames, options: EngineOptions) -> Ending:
    """Return the effective ending, given all nodes that have ended before."""
    ending = within_limit(ending, frames.emitted, options.max_children)
    return within_journal(ending, frames.journal_bytes, options.limits)


def within_journal(ending: Ending, journaled: int, limits: Limits) -> Ending:
    """Return the effective ending: a failure, without outputs, when they would make the execution's journal too large.

    Args:
        ending: how the try ended.
        journaled: the size of the outputs and payloads of the nodes that have ended before.
        limits: the maximum size.
    """
    total = journaled + ending.size
    if not ending.size or total <= limits.journal_bytes:
        return ending
    return refused(limits.exceeded("journal_bytes", "the execution's journal with this node's outputs", total))


MaySpawn = Callable[[int], Awaitable[str | None]]
"""Called with the emissions of a completed flow: returns why they cannot spawn children, or None."""


async def refused_family(may_spawn: MaySpawn, emissions: Sequence[Emission]) -> NodeError | None:
    """Return the failure of a flow whose emissions would make its tree too large."""
    refusal = await may_spawn(len(emissions)) if emissions else None
    return None if refusal is None else NodeError("", refusal, FailureReason.TREE_LIMIT)


def no_listener(trigger: Trigger, listeners: Iterable[str]) -> NodeError:
    """Return the failure of a flow without a listener for its trigger."""
    names = ", ".join(repr(event.name) for event in trigger) or "(none)"
    message = f"no node listens to {names}{suggestion(names.strip(chr(39)), listeners)}"
    return NodeError("", message, FailureReason.NO_LISTENER)


def next_try(ending: Ending, tries: int, retry: NodeRetry | None, chance: float) -> tuple[float, str] | None:
    """Return the delay before a node's next try and a log message; None when there is no other try.

    Args:
        tries: those that have failed.
        chance: a random number from 0 to 1, for the jitter.
    """
    if ending.outcome is not Outcome.FAILED or ending.reason in LIMITS:
        return None
    if retry is None or tries >= retry.max_attempts or not _worth(ending, retry.retry_on):
        return None
    wait = min(retry.backoff_seconds * retry.factor ** (tries - 1), retry.max_backoff_seconds)
    wait = max(wait * (1 - retry.jitter * chance), min(ending.retry_after or 0, LONGEST_RETRY_AFTER))
    return wait, f"try {tries} of {retry.max_attempts} failed: {ending.message}; next try in {wait:.3g} s"


def _worth(ending: Ending, retry_on: Sequence[str]) -> bool:
    """Whether another try may succeed, as the flow says, or the node."""
    status = HTTP_STATUS.fullmatch(ending.reason)
    kinds = {ending.reason, f"HTTP{status[1]}xx"} if status else {ending.reason}
    return bool(kinds & set(retry_on)) if retry_on else ending.retryable
