"""Decide which status transitions are worth a Kubernetes Event. Pure; called for each patch that was sent.

An Event costs the API server as much as a status patch, so a short execution gets one: its end. Beyond that, only
requested changes (a pause, a retry) and problems (a breakpoint, an error) get an Event, once each.

A tree may have thousands of children, so only their failures get Events. The root reports the end of its tree.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final, Literal

from chaingraph_crds.standing import rerun_text
from chaingraph_operator.decide.children_status import ALL_COMPLETED, SOME_FAILED, TREE_STOPPED
from chaingraph_operator.decide.flow_status import WITH_WARNINGS
from chaingraph_operator.kube.events import KubernetesEvent

_REVISION: Final = 12
"""Characters of a revision in a message."""
_SILENT: Final = frozenset({"Queued", "Held", "Starting", "Running", "CheckingFlow", "QuotaExceeded"})
"""Reasons for waiting that need no warning, or that thousands have at once."""
_ENDS: Final = {"Completed": "Completed", "Failed": "Failed", "Stopped": "Stopped"}
_PAUSES: Final = {"Paused": "Paused", "Breakpoint": "BreakpointHit"}
"""Reasons of the condition `Paused` that get an Event, with the Event's reason. A hold before the start gets none."""
_TREES: Final[Mapping[str, tuple[Literal["Normal", "Warning"], str]]] = {
    ALL_COMPLETED: ("Normal", "TreeCompleted"),
    SOME_FAILED: ("Warning", "TreeFailed"),
    TREE_STOPPED: ("Normal", "TreeStopped"),
}
"""How a tree ended, by the reason of the condition `TreeSucceeded`."""

Status = Mapping[str, Any]
Condition = Mapping[str, Any]


def of_execution(before: Status, after: Status) -> list[KubernetesEvent]:
    """Return the Events for a change of an Execution's status."""
    if "parentRef" in after:
        # Whatever delays a child's start, or takes its worker, affects all its siblings alike.
        ended = after.get("phase") in _ENDS
        told = [*_retry(before, after), *(_standing(before, after) if ended else ())]
        return [each for each in told if each.type == "Warning"]
    return [
        *_retry(before, after),
        *_pause(before, after),
        *_standing(before, after),
        *_tree(before, after),
        *_worker_lost(before, after),
        *_refused_signal(before, after),
        *_spec_ignored(before, after),
    ]


def _standing(before: Status, after: Status) -> Iterator[KubernetesEvent]:
    """Return the Event for its end, or for a problem that prevents its start."""
    succeeded = _condition(after, "Succeeded")
    phase = str(after.get("phase", ""))
    if not succeeded:
        return
    if phase in _ENDS:
        if _run(before) == _run(after) and phase == before.get("phase"):
            return
        # A refused execution never ran: its own reason (InvalidInputs, TooLarge) is more specific than "Failed".
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
    """Return the Event for the end of all descendants."""
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
    """Return the Event for an ignored part of the spec, unless it only waits for the next attempt."""
    now, known = _condition(after, "SpecIgnored"), _condition(before, "SpecIgnored")
    if now and now["reason"] != "NextAttempt" and now["message"] != known.get("message"):
        yield KubernetesEvent("Warning", now["reason"], _with_count(now["message"]), now["message"])


def _refused_signal(before: Status, after: Status) -> Iterator[KubernetesEvent]:
    now, known = _condition(after, "SignalRefused"), _condition(before, "SignalRefused")
    if now and now["message"] != known.get("message"):
        yield KubernetesEvent("Warning", "SignalRefused", _with_count(now["message"]), now["message"])


def _with_count(message: str) -> str:
    first, *others = message.split("\n")
    return f"{first}; and {len(others)} more" if others else first


def _pause(before: Status, after: Status) -> Iterator[KubernetesEvent]:
    if after.get("phase") in _ENDS:
        return
    known, now = _condition(before, "Paused"), _condition(after, "Paused")
    same_attempt = _attempt(before) == _attempt(after)
    was, reason = _paused_by(known) if same_attempt else "", _paused_by(now)
    if reason == "Breakpoint" and (was != reason or _breakpoint(before) != _breakpoint(after)):
        yield KubernetesEvent("Normal", "BreakpointHit", now["message"], _since(after, now, cause=_cause(after)))
    elif reason == "Paused" and not was and same_attempt:
        # A retry that starts paused has its Event as a retry.
        yield KubernetesEvent("Normal", "Paused", now["message"], _since(after, now, cause=_cause(after)))
    elif not reason and was in _PAUSES:
        message = f"Resumed. It was paused {_cause(before)}"
        yield KubernetesEvent("Normal", "Resumed", message, _since(after, now, cause=_cause(before)))


def _retry(before: Status, after: Status) -> Iterator[KubernetesEvent]:
    attempt = _attempt(after)
    if 0 < _attempt(before) < attempt:
        history = after.get("attempts", ())
        whence = _whence(history[-1] if history else {}, str(after.get("flowRevision", "")))
        yield KubernetesEvent("Normal", "RetryStarted", f"Attempt {attempt} started, {whence}", str(attempt))
    refused = _condition(after, "RetryRefused")
    if refused and refused["message"] != _condition(before, "RetryRefused").get("message"):
        yield KubernetesEvent("Warning", "RetryRefused", refused["message"], str(after.get("lastRetry", "")))


def _whence(ended: Mapping[str, Any], revision: str) -> str:
    """Say what an attempt keeps of the one before, and what runs again."""
    if "kept" not in ended:
        return "from the beginning" if ended.get("retriedFrom") == "Start" else "keeping completed nodes"
    parts = [f"from node {ended['retriedNode']!r}"] if "retriedNode" in ended else []
    if "flowRevision" in ended:
        parts.append(f"with revision {revision[:_REVISION]} of the flow instead of {ended['flowRevision'][:_REVISION]}")
    return ", ".join([*parts, rerun_text(ended)])


def _attempt(status: Status) -> int:
    attempt = status.get("attempt", 0)
    return attempt if isinstance(attempt, int) else 0


def _run(status: Status) -> tuple[int, str]:
    """Identify an end: by the attempt or, for an execution that never ran, by the time of its validation."""
    return _attempt(status), "" if "executionID" in status else str(status.get("completionTime", ""))


def _paused_by(condition: Condition) -> str:
    """Return the reason of a pause that was not ended by a resume; '' for none."""
    reason = str(condition.get("reason", ""))
    return reason if condition.get("status") == "True" and reason != "Resuming" else ""


def _breakpoint(status: Status) -> str:
    return str(status.get("breakpoint", ""))


def _cause(status: Status) -> str:
    """Return the cause of the pause: `at the breakpoint 'a'`. A pause after steps from there is the same pause."""
    node = _breakpoint(status)
    return f"at the breakpoint {node!r}" if node else "by spec.paused"


def _since(status: Status, condition: Condition, *, cause: str) -> str:
    """Distinguish two pauses within one second, the resolution of the times, by their cause."""
    return f"{condition['lastTransitionTime']}/{_attempt(status)}/{cause}"


def _is_new_trouble(before: Status, succeeded: Condition) -> bool:
    reason = succeeded["reason"]
    return reason not in _SILENT and reason != _condition(before, "Succeeded").get("reason")


def of_flow(before: Status, after: Status) -> list[KubernetesEvent]:
    """Return the Events for a change of a Flow's status: invalid, valid again, or valid with warnings."""
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
    """Return the first line, which has the first error: `kubectl get events` shows one line only."""
    return message.partition("\n")[0]


def _condition(status: Status, type_: str) -> Condition:
    # A status edited by somebody else may have any form.
    found = status.get("conditions")
    known = (each for each in (found if isinstance(found, list) else ()) if isinstance(each, dict))
    return next((each for each in known if each.get("type") == type_), {})
