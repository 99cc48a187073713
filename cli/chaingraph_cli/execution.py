"""Reads the fields of an Execution that the verbs need. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Final

from chaingraph_cli.terminal.escapes import one_line
from chaingraph_crds import names

# As `chaingraph_crds.execution_status.ExecutionPhase`, which takes too long to import.
PENDING: Final = "Pending"
CREATED: Final = "Created"
RUNNING: Final = "Running"
PAUSED: Final = "Paused"
COMPLETED: Final = "Completed"
FAILED: Final = "Failed"
STOPPED: Final = "Stopped"
PHASES: Final = (PENDING, CREATED, RUNNING, PAUSED, COMPLETED, FAILED, STOPPED)
FINISHED: Final = (COMPLETED, FAILED, STOPPED)
APPROVAL: Final = "Approval"
"""The kind of a wait for an approval."""
_ID: Final = re.compile(r"EX[A-Z2-7]{24}")
_WAITING: Final = {
    "FlowNotFound": "waiting for its Flow",
    "FlowInvalid": "waiting for its Flow to be fixed",
    "CheckingFlow": "waiting for its Flow to be validated",
    "WaitingForWorkers": "waiting for a worker to validate its Flow",
    "UnknownNodeType": "waiting for a worker with its node types",
    "ConflictingRevision": "waiting for its Flow to be restored in the database",
}
"""States of an execution without a row in the database, by the reason of its condition `Succeeded`."""


@dataclass(frozen=True)
class Execution:
    """One Execution; `item` is the object as JSON."""

    item: dict[str, Any]

    @property
    def name(self) -> str:
        return str(self.item["metadata"]["name"])

    @property
    def namespace(self) -> str:
        return str(self.item["metadata"].get("namespace", ""))

    @property
    def full_name(self) -> str:
        """The name as `kubectl -o name` prints it."""
        return f"{names.EXECUTION_SINGULAR}.{names.GROUP}/{self.name}"

    @property
    def generation(self) -> int:
        return int(self.item["metadata"].get("generation", 0))

    @property
    def created(self) -> str:
        return str(self.item["metadata"].get("creationTimestamp", ""))

    @property
    def spec(self) -> dict[str, Any]:
        return dict(self.item.get("spec") or {})

    @property
    def options(self) -> dict[str, Any]:
        return dict(self.spec.get("options") or {})

    @property
    def status(self) -> dict[str, Any]:
        return dict(self.item.get("status") or {})

    @property
    def phase(self) -> str:
        """The phase; Pending before the operator has seen it."""
        return str(self.status.get("phase") or PENDING)

    @property
    def finished(self) -> bool:
        return self.phase in FINISHED

    @property
    def tree_open(self) -> bool:
        """Whether it has finished and some descendants have not."""
        return self.finished and self.condition("TreeSucceeded").get("status") == "Unknown"

    @property
    def pause_requested(self) -> bool:
        return bool(self.spec.get("paused"))

    @property
    def held(self) -> bool:
        """Whether it was created paused and has not started, by `start` or by `step`."""
        if self.phase == CREATED:
            return self.pause_requested and self.condition("Succeeded").get("reason") != "Starting"
        return self.pause_requested and not self.status.get("phase")

    @property
    def waits(self) -> bool:
        """Whether it has not started and not finished: it waits for its Flow, a quota, a worker or `start`."""
        return self.phase in (PENDING, CREATED)

    @property
    def made(self) -> bool:
        """Whether it has a row in the database. An execution of an invalid Flow may fail without one."""
        return bool(self.status.get("executionID"))

    @property
    def observed(self) -> bool:
        """Whether the status is of the current generation."""
        return int(self.status.get("observedGeneration", -1)) >= self.generation

    @property
    def flow(self) -> str:
        """The name of its Flow; empty if its flow is inline."""
        return str((self.spec.get("flowRef") or {}).get("name", ""))

    @property
    def breakpoints(self) -> list[str]:
        return [str(each) for each in self.options.get("breakpoints") or ()]

    @property
    def current_nodes(self) -> list[str]:
        return [str(each) for each in self.status.get("currentNodes") or ()]

    @property
    def waiting_nodes(self) -> list[str]:
        return [str(each["node"]) for each in self.status.get("waiting") or ()]

    @property
    def approvals(self) -> list[dict[str, Any]]:
        """The entries of `status.waiting` that wait for an approval."""
        return [dict(each) for each in self.status.get("waiting") or () if each.get("kind") == APPROVAL]

    def count(self, what: str) -> int:
        """Return a count of `status.nodes`: total, done, completed, failed, skipped, running, waiting."""
        return int((self.status.get("nodes") or {}).get(what, 0))

    @property
    def done(self) -> int:
        """The number of finished nodes: completed, failed or skipped."""
        return self.count("completed") + self.count("failed") + self.count("skipped")

    def condition(self, type_: str) -> dict[str, Any]:
        """Return a condition; empty if it is absent."""
        conditions = self.status.get("conditions") or ()
        return next((dict(each) for each in conditions if each.get("type") == type_), {})

    def is_true(self, type_: str) -> bool:
        return self.condition(type_).get("status") == "True"

    @property
    def error(self) -> str:
        """The reason that it failed or was stopped."""
        error = self.status.get("error") or {}
        if error:
            return (f"node '{error['node']}': " if error.get("node") else "") + str(error.get("message", ""))
        return str(self.condition("Succeeded").get("message", ""))


def is_id(name: str) -> bool:
    """Whether this is an execution id, as in `status.executionID`. No resource has such a name."""
    return _ID.fullmatch(name) is not None


def quoted(nodes: list[str], most: int = 3) -> str:
    """Format node ids: 'a', 'b' and 4 more."""
    shown = ", ".join(f"'{each}'" for each in nodes[:most])
    return shown if len(nodes) <= most else f"{shown} and {len(nodes) - most} more"


def waits_for(execution: Execution) -> str:
    """Return the operator's message on an execution that has not started; '' if it has."""
    if not execution.waits:
        return ""
    said = str(execution.condition("Succeeded").get("message", "")).partition("\n")[0]
    return one_line(said) if said else describe(execution)


def describe(execution: Execution) -> str:
    """Describe its state in a few words that follow its name, on one line."""
    return one_line(_describe(execution))


def _describe(execution: Execution) -> str:
    now = quoted(execution.current_nodes)
    match execution.phase:
        case phase if phase == PAUSED:
            if execution.condition("Paused").get("reason") == "Resuming":
                return "resuming"
            if execution.count("running"):
                return f"pausing: {execution.count('running')} still running, at {now}"
            at = "at a breakpoint " if execution.status.get("breakpoint") in execution.current_nodes else ""
            return f"paused {at}before {now}" if now else "paused"
        case phase if phase == RUNNING:
            if execution.is_true("Waiting"):
                return f"running: {execution.condition('Waiting').get('message', '')}"
            return f"running {now}" if now else "running"
        case phase if phase == FAILED:
            return f"failed: {execution.error}"
        case phase if phase == STOPPED:
            return f"stopped: {execution.error}" if execution.error else "stopped"
        case phase if phase == COMPLETED:
            tree = execution.condition("TreeSucceeded")
            below = str(tree.get("message", "")) if tree.get("status") != "True" else ""
            return f"completed; {below}" if below else "completed"
        case _ if execution.held:
            return "created and not started"
        case _ if execution.made:
            return "waiting for a worker"
        case _:
            return _WAITING.get(str(execution.condition("Succeeded").get("reason", "")), "waiting for the operator")
