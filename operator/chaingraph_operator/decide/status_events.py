"""Which transitions of a status are worth a Kubernetes Event. Pure; called with each patch that went out.

An Event costs the API server as much as a status patch, so a short execution gets one: its end. Beyond that only what
a person has asked for (a pause, a retry) and what needs one (a breakpoint, trouble) is told, once each time.

There may be thousands of children in a tree: of them, failures alone are told. The root tells of its tree's end.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final, Literal

from chaingraph_operator.decide.children_status import ALL_COMPLETED, SOME_FAILED, TREE_STOPPED
from chaingraph_operator.decide.flow_status import WITH_WARNINGS
from chaingraph_operator.kube.events import KubernetesEvent

_SILENT: Final = frozenset({"Queued", "Held", "Starting", "Running", "CheckingFlow", "QuotaExceeded"})
"""Reasons of a wait that is nothing to warn of, or that thousands have at once."""
_ENDS: Final = {"Completed": "Completed", "Failed": "Failed", "Stopped": "Stopped"}
_PAUSES: Final = {"Paused": "Paused", "Breakpoint": "BreakpointHit"}
"""Reasons of the condition `Paused` that are told, and those of their Events. A hold before the start is not."""
_TREES: Final[Mapping[str, tuple[Literal["Normal", "Warning"], str]]] = {
    ALL_COMPLETED: ("Normal", "TreeCompleted"),
    SOME_FAILED: ("Warning", "TreeFailed"),
    TREE_STOPPED: ("Normal", "TreeStopped"),
}
"""How a tree ended, by the reason of the condition `TreeSucceeded`."""

Status = Mapping[str, Any]
Condition = Mapping[str, Any]


def of_execution(before: Status, after: Status) -> list[KubernetesEvent]:
    """The Events of a change of an Execution's status."""
    if "parentRef" in after:
        # What keeps a child from its start, or takes its worker, is the same with all its siblings.
        ended = after.get("phase") in _ENDS
        told = [*_retry(before, after), *(_standing(before, after) if ended else ())]
        return [each for each in told if each.type == "Warning"]
    return [
        *_retry(before, after),
        *_pause(before, after),
        *_standing(before, after),
        *_tree(before, after),
        *_worker_lost(before, after),
        *_spec_ignored(before, after),
    ]


def _standing(before: Status, after: Status) -> Iterator[KubernetesEvent]:
    """Its end, or what keeps it from its start."""
    succeeded = _condition(after, "Succeeded")
    phase = str(after.get("phase", ""))
    if not succeeded:
        return
    if phase in _ENDS:
        if _run(before) == _run(after) and phase == before.get("phase"):
            return
        # What was refused never ran: its own reason (InvalidInputs, TooLarge) tells more than "Failed".
        refused = phase == "Failed" and "executionID" not in after
        yield KubernetesEvent(
            "Warning" if phase == "Failed" else "Normal",
            succeeded["reason"] if refused else _ENDS[phase],
            _first_line(succeeded["message"]) if refused else succeeded["message"],
            "/".join([succeeded["lastTransitionTime"], *map(str, _run(after))]),
        )
    elif phase == "Pending" and _is_new_trouble(before, succeeded):
        since = str(succeeded["observedGeneration"])
        yield KubernetesEvent("Warning", succeeded["reason"], _first_line(succeeded["message"]), since)


def _tree(before: Status, after: Status) -> Iterator[KubernetesEvent]:
    """The end of everything below it."""
    now = _condition(after, "TreeSucceeded")
    if after.get("phase") != "Completed" or now.get("reason") not in _TREES:
        return
    if now["status"] != _condition(before, "TreeSucceeded").get("status"):
        type_, reason = _TREES[now["reason"]]
        yield KubernetesEvent(type_, reason, now["message"], now["lastTransitionTime"])


def _worker_lost(before: Status, after: Status) -> Iterator[KubernetesEvent]:
    lost = _condition(after, "WorkerLost")
    if lost.get("status") == "True" and _condition(before, "WorkerLost").get("status") != "True":
        yield KubernetesEvent("Warning", "WorkerLost", lost["message"], lost["lastTransitionTime"])


def _spec_ignored(before: Status, after: Status) -> Iterator[KubernetesEvent]:
    """A part of the spec that has no effect. What only waits for the next attempt is nothing to warn of."""
    now, known = _condition(after, "SpecIgnored"), _condition(before, "SpecIgnored")
    if now and now["reason"] != "NextAttempt" and now["message"] != known.get("message"):
        yield KubernetesEvent("Warning", now["reason"], _with_count(now["message"]), now["message"])


def _with_count(message: str) -> str:
    first, *others = message.split("\n")
    return f"{first}; and {len(others)} more" if others else first


def _pause(before: Status, after: Status) -> Iterator[KubernetesEvent]:
    if after.get("phase") in _ENDS:
        return
    known, now = _condition(before, "Paused"), _condition(after, "Paused")
    same_attempt = _attempt(before) == _attempt(after)
    was, reason = _paused_by(known) if same_attempt else "", _paused_by(now)
    if reason == "Breakpoint" and (was != reason or _node(known) != _node(now)):
        yield KubernetesEvent("Normal", "BreakpointHit", now["message"], _since(after, now, of=now))
    elif reason == "Paused" and not was and same_attempt:
        # A retry that begins paused is told as a retry.
        yield KubernetesEvent("Normal", "Paused", now["message"], _since(after, now, of=now))
    elif not reason and was in _PAUSES:
        message = f"goes on; it was paused {_head(known)}"
        yield KubernetesEvent("Normal", "Resumed", message, _since(after, now, of=known))


def _retry(before: Status, after: Status) -> Iterator[KubernetesEvent]:
    attempt = _attempt(after)
    if 0 < _attempt(before) < attempt:
        history = after.get("attempts", ())
        whence = (
            "from the start" if history and history[-1].get("retriedFrom") == "Start" else "keeping what had completed"
        )
        yield KubernetesEvent("Normal", "RetryStarted", f"attempt {attempt} was begun, {whence}", str(attempt))
    refused = _condition(after, "RetryRefused")
    if refused and refused["message"] != _condition(before, "RetryRefused").get("message"):
        yield KubernetesEvent("Warning", "RetryRefused", refused["message"], str(after.get("lastRetry", "")))


def _attempt(status: Status) -> int:
    attempt = status.get("attempt", 0)
    return attempt if isinstance(attempt, int) else 0


def _run(status: Status) -> tuple[int, str]:
    """Tells two ends apart: the attempt, or of what never ran, when it was validated."""
    return _attempt(status), "" if "executionID" in status else str(status.get("completionTime", ""))


def _paused_by(condition: Condition) -> str:
    """The reason of a pause that nobody has ended; '' for none."""
    reason = str(condition.get("reason", ""))
    return reason if condition.get("status") == "True" and reason != "Resuming" else ""


def _node(condition: Condition) -> str:
    """The breakpoint: at it, and since it, are the same."""
    return _head(condition).partition(" ")[2]


def _head(condition: Condition) -> str:
    """What paused it: `at the breakpoint 'a'`."""
    return str(condition.get("message", "")).partition(";")[0]


def _since(status: Status, condition: Condition, *, of: Condition) -> str:
    """Times are whole seconds; within one, what it was paused by tells two apart."""
    return f"{condition['lastTransitionTime']}/{_attempt(status)}/{_head(of)}"


def _is_new_trouble(before: Status, succeeded: Condition) -> bool:
    reason = succeeded["reason"]
    return reason not in _SILENT and reason != _condition(before, "Succeeded").get("reason")


def of_flow(before: Status, after: Status) -> list[KubernetesEvent]:
    """The Events of a change of a Flow's status: that it is wrong, that it is right again, what to look at in it."""
    ready = _condition(after, "Ready")
    known = _condition(before, "Ready")
    if not ready or (ready["status"], ready["reason"]) == (known.get("status"), known.get("reason")):
        return []
    if ready["status"] == "False":
        message = _first_line(ready["message"])
        return [KubernetesEvent("Warning", ready["reason"], message, ready["lastTransitionTime"])]
    if ready["reason"] == WITH_WARNINGS:
        return [KubernetesEvent("Warning", WITH_WARNINGS, _first_line(ready["message"]), ready["lastTransitionTime"])]
    if ready["status"] == "True" and (known.get("status") == "False" or known.get("reason") == WITH_WARNINGS):
        return [KubernetesEvent("Normal", ready["reason"], ready["message"], ready["lastTransitionTime"])]
    return []


def _first_line(message: str) -> str:
    """With its first error: `kubectl get events` shows no more than one line."""
    return message.partition("\n")[0]


def _condition(status: Status, type_: str) -> Condition:
    # What somebody else has written into a status may have any form.
    found = status.get("conditions")
    known = (each for each in (found if isinstance(found, list) else ()) if isinstance(each, dict))
    return next((each for each in known if each.get("type") == type_), {})
