"""Decides whether a verb applies in the current state of an execution. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from chaingraph_cli.execution import COMPLETED, CREATED, FAILED, PAUSED, RUNNING, STOPPED, Execution, describe


@dataclass(frozen=True)
class VerbRefusal:
    """The reason that a verb does not apply, as words after the name, and the command to use instead, if any."""

    why: str
    instead: tuple[str, ...] = ()


def start(execution: Execution) -> VerbRefusal | None:
    """Created paused and not started; also after a step that no worker has taken yet."""
    if execution.held or (execution.pause_requested and execution.phase == CREATED):
        return None
    if execution.finished:
        return _finished(execution)
    if execution.phase == PAUSED or execution.pause_requested:
        return VerbRefusal(f"has already started: it is {describe(execution)}", ("resume", execution.name))
    return VerbRefusal(f"has already started: it is {describe(execution)}")


def pause(execution: Execution) -> VerbRefusal | None:
    """Running, or waiting to run."""
    if execution.finished:
        return _finished(execution)
    if execution.held:
        return VerbRefusal("has not started", ("start", execution.name))
    if execution.phase == PAUSED:
        return VerbRefusal(f"is already {describe(execution)}", ("resume", execution.name))
    return None


def resume(execution: Execution) -> VerbRefusal | None:
    """Paused, or about to pause."""
    if execution.finished:
        return _finished(execution)
    if execution.held:
        return VerbRefusal("has not started", ("start", execution.name))
    if execution.phase == PAUSED or execution.pause_requested:
        return None
    return VerbRefusal(f"is not paused: it is {describe(execution)}")


def step(execution: Execution) -> VerbRefusal | None:
    """Paused, or about to pause; one that was created paused then runs step by step from its start."""
    if execution.finished:
        return _finished(execution)
    if execution.status.get("phase") and not execution.made:
        # A token that the row begins with requests nothing.
        return VerbRefusal(f"cannot step yet: it is {describe(execution)}")
    if execution.phase == PAUSED or execution.pause_requested:
        return None
    return VerbRefusal(f"is not paused: it is {describe(execution)}", ("pause", execution.name))


def stop(execution: Execution) -> VerbRefusal | None:
    """Not finished, or with descendants that are not."""
    if not execution.finished:
        return None
    if not execution.tree_open:
        return _finished(execution, instead=False)
    if (execution.spec.get("children") or {}).get("onStop") == "Continue":
        return VerbRefusal(
            "has already completed. Its children continue (spec.children.onStop: Continue): set onStop to Stop first"
        )
    if execution.spec.get("stop") and execution.observed:
        return VerbRefusal(
            "has already completed and passed its stop on: the executions still active below it are not affected"
        )
    return None


def retry(execution: Execution) -> VerbRefusal | None:
    """Failed or stopped."""
    if execution.phase in (FAILED, STOPPED):
        return None
    if execution.phase == COMPLETED:
        return VerbRefusal("has completed: there is nothing to retry. To run it again, create another Execution")
    return VerbRefusal(f"has not finished: it is {describe(execution)}", ("stop", execution.name))


def signal(execution: Execution) -> VerbRefusal | None:
    """Not finished."""
    return _finished(execution) if execution.finished else None


def breakpoints(execution: Execution) -> VerbRefusal | None:
    """Always: those of a finished execution count in its next attempt."""
    return None


GUARDS: Final[Mapping[str, Callable[[Execution], VerbRefusal | None]]] = {
    "start": start,
    "pause": pause,
    "resume": resume,
    "step": step,
    "stop": stop,
    "retry": retry,
    "signal": signal,
    "approve": signal,
    "reject": signal,
}


LIKELY: Final[Mapping[str, Mapping[str, object]]] = {
    "start": {"/status/phase": CREATED, "/spec/paused": True},
    "pause": {"/status/phase": RUNNING},
    "resume": {"/status/phase": PAUSED},
    "step": {"/status/phase": PAUSED},
    "stop": {"/status/phase": RUNNING},
    "retry": {"/status/phase": FAILED},
}
"""The likely state for each verb: values by JSON pointer that satisfy its guard."""


def _finished(execution: Execution, *, instead: bool = True) -> VerbRefusal:
    if execution.phase == COMPLETED:
        return VerbRefusal("has already completed")
    why = "has already failed" if execution.phase == FAILED else "was already stopped"
    return VerbRefusal(why, ("retry", execution.name) if instead else ())
