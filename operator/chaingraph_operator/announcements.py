"""Which transitions of a status are worth a Kubernetes Event. Pure; called with each patch that went out.

An Event costs the API server as much as a status patch, so a short execution gets one: its end.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

_SILENT: Final = frozenset({"Queued", "Held", "Starting", "Running"})
"""Reasons of a wait that is nothing to warn of."""
_ENDS: Final = {"Completed": "Completed", "Failed": "Failed", "Stopped": "Stopped"}

Status = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Announcement:
    """One Event to post. `since`: the transition's time, which tells two of one reason apart."""

    type: Literal["Normal", "Warning"]
    reason: str
    message: str
    since: str


def of_execution(before: Status, after: Status) -> list[Announcement]:
    """The Events of a change of an Execution's status."""
    found = []
    succeeded = _condition(after, "Succeeded")
    phase = str(after.get("phase", ""))
    if succeeded and phase in _ENDS and phase != before.get("phase"):
        # What was refused never ran: its own reason (InvalidInputs, TooLarge) tells more than "Failed".
        refused = phase == "Failed" and "executionID" not in after
        found.append(
            Announcement(
                "Warning" if phase == "Failed" else "Normal",
                succeeded["reason"] if refused else _ENDS[phase],
                succeeded["message"],
                succeeded["lastTransitionTime"],
            )
        )
    elif succeeded and phase == "Pending" and _is_new_trouble(before, succeeded):
        since = str(succeeded["observedGeneration"])
        found.append(Announcement("Warning", succeeded["reason"], succeeded["message"], since))
    lost = _condition(after, "WorkerLost")
    if lost.get("status") == "True" and _condition(before, "WorkerLost").get("status") != "True":
        found.append(Announcement("Warning", "WorkerLost", lost["message"], lost["lastTransitionTime"]))
    return found


def _is_new_trouble(before: Status, succeeded: Mapping[str, Any]) -> bool:
    reason = succeeded["reason"]
    return reason not in _SILENT and reason != _condition(before, "Succeeded").get("reason")


def of_flow(before: Status, after: Status) -> list[Announcement]:
    """The Events of a change of a Flow's status: that it is wrong, and that it is right again."""
    ready = _condition(after, "Ready")
    known = _condition(before, "Ready")
    if not ready or (ready["status"], ready["reason"]) == (known.get("status"), known.get("reason")):
        return []
    if ready["status"] == "False":
        return [Announcement("Warning", ready["reason"], ready["message"], ready["lastTransitionTime"])]
    if ready["status"] == "True" and known.get("status") == "False":
        return [Announcement("Normal", ready["reason"], ready["message"], ready["lastTransitionTime"])]
    return []


def _condition(status: Status, type_: str) -> Mapping[str, Any]:
    return next((each for each in status.get("conditions", ()) if each["type"] == type_), {})
