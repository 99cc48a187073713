"""Which verb makes sense in which state. Pure; validated on what was read, before anything is edited."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from chaingraph_cli.execution import COMPLETED, CREATED, FAILED, PAUSED, RUNNING, STOPPED, Execution, standing


@dataclass(frozen=True)
class VerbRefusal:
    """Why a verb is not carried out, and the words of the command that would make sense; none if there is none."""

    why: str
    instead: tuple[str, ...] = ()


def start(execution: Execution) -> VerbRefusal | None:
    """Only what was created paused; also when a step was asked for, and no worker has taken it yet."""
    if execution.held or (execution.wants_pause and execution.phase == CREATED):
        return None
    if execution.finished:
        return _finished(execution)
    if execution.phase == PAUSED or execution.wants_pause:
        return VerbRefusal(f"has been started: it is {standing(execution)}", ("resume", execution.name))
    return VerbRefusal(f"has been started: it is {standing(execution)}")


def pause(execution: Execution) -> VerbRefusal | None:
    """Only what runs, or is about to."""
    if execution.finished:
        return _finished(execution)
    if execution.held:
        return VerbRefusal("has not been started, and waits until it is", ("start", execution.name))
    if execution.phase == PAUSED:
        return VerbRefusal(f"is {standing(execution)} already", ("resume", execution.name))
    return None


def resume(execution: Execution) -> VerbRefusal | None:
    """Only what is paused, or is to be."""
    if execution.finished:
        return _finished(execution)
    if execution.held:
        return VerbRefusal("has not been started", ("start", execution.name))
    if execution.phase == PAUSED or execution.wants_pause:
        return None
    return VerbRefusal(f"is not paused: it is {standing(execution)}")


def step(execution: Execution) -> VerbRefusal | None:
    """What is paused, or is to be; also what was created paused, which then runs in single steps from its start."""
    if execution.finished:
        return _finished(execution)
    if execution.status.get("phase") and not execution.made:
        # A token that is there when it is made asks for nothing.
        return VerbRefusal(f"cannot make a step yet: it is {standing(execution)}")
    if execution.phase == PAUSED or execution.wants_pause:
        return None
    return VerbRefusal(f"is not paused: it is {standing(execution)}", ("pause", execution.name))


def stop(execution: Execution) -> VerbRefusal | None:
    """Only what has not ended, or what has something below it that has not."""
    if not execution.finished:
        return None
    if not execution.tree_open:
        return _ended(execution)
    if (execution.spec.get("children") or {}).get("onStop") == "Continue":
        return VerbRefusal(
            "is completed, and by spec.children.onStop: Continue its children go on; set that to Stop first"
        )
    if execution.spec.get("stop") and execution.observed:
        return VerbRefusal("is completed, and its stop was passed on: what is still active below it goes its own way")
    return None


def retry(execution: Execution) -> VerbRefusal | None:
    """Only what failed or was stopped."""
    if execution.phase in (FAILED, STOPPED):
        return None
    if execution.phase == COMPLETED:
        return VerbRefusal("is completed: there is nothing to retry. For another run create another Execution")
    return VerbRefusal(f"has not ended: it is {standing(execution)}", ("stop", execution.name))


def breakpoints(execution: Execution) -> VerbRefusal | None:
    """Of an ended execution they count with its next attempt, so they may always be edited."""
    return None


GUARDS: Final[Mapping[str, Callable[[Execution], VerbRefusal | None]]] = {
    "start": start,
    "pause": pause,
    "resume": resume,
    "step": step,
    "stop": stop,
    "retry": retry,
}


LIKELY: Final[Mapping[str, Mapping[str, object]]] = {
    "start": {"/status/phase": CREATED, "/spec/paused": True},
    "pause": {"/status/phase": RUNNING},
    "resume": {"/status/phase": PAUSED},
    "step": {"/status/phase": PAUSED},
    "stop": {"/status/phase": RUNNING},
    "retry": {"/status/phase": FAILED},
}
"""In which state each verb is mostly used: values by JSON pointer that are enough for its guard."""


def _finished(execution: Execution) -> VerbRefusal:
    if execution.phase == COMPLETED:
        return VerbRefusal("is completed")
    return VerbRefusal(f"has ended: it {_was(execution)}", ("retry", execution.name))


def _ended(execution: Execution) -> VerbRefusal:
    return VerbRefusal("is completed" if execution.phase == COMPLETED else f"has ended already: it {_was(execution)}")


def _was(execution: Execution) -> str:
    return "failed" if execution.phase == FAILED else "was stopped"
