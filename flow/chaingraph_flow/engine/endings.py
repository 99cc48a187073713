"""What becomes of a try that has ended: whether its emissions fit, and whether another try follows.

Pure decisions, asked by the scheduler in the one place where it takes the end of a node: nodes that end at once are
taken one after the other, so each is weighed against all those before it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence

from chaingraph_crds.flow import NodeRetry
from chaingraph_flow.context import Emission, Trigger
from chaingraph_flow.engine.attempt import Ending, refused
from chaingraph_flow.engine.options import EngineOptions
from chaingraph_flow.engine.records import Outcome
from chaingraph_flow.engine.result import FailureReason, NodeError
from chaingraph_flow.engine.state import RunState
from chaingraph_flow.errors import TooManyChildren
from chaingraph_flow.field_errors import suggestion
from chaingraph_flow.limits import Limits

LIMITS = frozenset(
    (
        FailureReason.DEPTH_LIMIT,
        FailureReason.TOO_MANY_CHILDREN,
        FailureReason.LIMIT_EXCEEDED,
        FailureReason.EGRESS_DENIED,
    )
)
"""Failures that another try would meet again, so that none follows."""


def within_limit(ending: Ending, emitted: int, limit: int) -> Ending:
    """The ending as it counts: a failure, without emissions, when those do not fit any more.

    Args:
        ending: How the try ended.
        emitted: The emissions of the nodes that have ended before. More than the limit when that was lowered since:
            they stand, and no others fit.
        limit: How many the execution may have.
    """
    own = len(ending.emissions)
    if not own or emitted + own <= limit:
        return ending
    return refused(TooManyChildren(own, emitted, limit))


def within_limits(ending: Ending, state: RunState, options: EngineOptions) -> Ending:
    """The ending as it counts, after those of all nodes that have ended before."""
    ending = within_limit(ending, state.emitted, options.max_children)
    return within_journal(ending, state.journal_bytes, options.limits)


def within_journal(ending: Ending, journaled: int, limits: Limits) -> Ending:
    """The ending as it counts: a failure, without outputs, when the execution's journal would be too large with it.

    Args:
        ending: How the try ended.
        journaled: The size of the outputs and payloads of the nodes that have ended before.
        limits: How large it may be.
    """
    total = journaled + ending.size
    if not ending.size or total <= limits.journal_bytes:
        return ending
    return refused(limits.exceeded("journal_bytes", "with this node's outputs the execution's journal", total))


MaySpawn = Callable[[int], Awaitable[str | None]]
"""Asked how many children a completed flow would have: why it may not, or None when it may."""


async def refused_family(may_spawn: MaySpawn, emissions: Sequence[Emission]) -> NodeError | None:
    """The failure of a flow whose emissions would make its tree too large."""
    refusal = await may_spawn(len(emissions)) if emissions else None
    return None if refusal is None else NodeError("", refusal, FailureReason.TREE_LIMIT)


def no_listener(trigger: Trigger, listeners: Iterable[str]) -> NodeError:
    """The failure of a flow in which nothing listens to what has triggered it."""
    names = ", ".join(repr(event.name) for event in trigger) or "(none)"
    message = f"no node listens to {names}{suggestion(names.strip(chr(39)), listeners)}"
    return NodeError("", message, FailureReason.NO_LISTENER)


def next_try(ending: Ending, tries: int, retry: NodeRetry | None) -> tuple[float, str] | None:
    """In how many seconds a node that has been tried so often is tried again, and what to say; None when it is not."""
    if ending.outcome is not Outcome.FAILED or ending.reason in LIMITS:
        return None
    if retry is None or tries >= retry.max_attempts:
        return None
    wait = min(retry.backoff_seconds * 2 ** (tries - 1), retry.max_backoff_seconds)
    return wait, f"try {tries} of {retry.max_attempts} failed: {ending.message}; the next one in {wait:g} s"
