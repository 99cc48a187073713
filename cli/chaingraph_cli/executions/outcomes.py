"""Goals of `--wait` and `wait`, decided from the status alone. Pure.

Each goal returns None until it is reached or out of reach.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from chaingraph_cli.errors import NotAllowed
from chaingraph_cli.execution import COMPLETED, CREATED, PAUSED, STOPPED, Execution, describe
from chaingraph_cli.terminal.escapes import one_line
from chaingraph_crds.standing import rerun_text


@dataclass(frozen=True)
class Outcome:
    """What happened, as words after the name, and the exit code."""

    text: str
    code: int = 0


Goal = Callable[[Execution], Outcome | None]


def started(execution: Execution) -> Outcome | None:
    if execution.held or not execution.observed or execution.phase == CREATED:
        return None
    return Outcome(f"started; {describe(execution)}")


def paused(execution: Execution) -> Outcome | None:
    """Paused, and no node runs any more."""
    if execution.finished:
        return Outcome(f"finished before it could pause: {describe(execution)}", NotAllowed.exit_code)
    if execution.observed and execution.phase == PAUSED and not execution.count("running"):
        return Outcome(describe(execution))
    return None


def resumed(token: str) -> Goal:
    def goal(execution: Execution) -> Outcome | None:
        if execution.finished:
            return Outcome(f"resumed; {describe(execution)}")
        if execution.observed and execution.status.get("lastResume") == token:
            # It may be at the next breakpoint already.
            return Outcome(f"resumed; {describe(execution)}")
        return None

    return goal


def stepped(token: str) -> Goal:
    """The nodes of the step have finished: then the next nodes are known."""

    def goal(execution: Execution) -> Outcome | None:
        if execution.finished:
            return Outcome(describe(execution))
        if execution.status.get("lastStep") != token:
            return None
        if execution.phase == PAUSED and not execution.count("running"):
            return Outcome(describe(execution))
        return None

    return goal


def stopped(execution: Execution) -> Outcome | None:
    """Stopped, or completed and its active descendants stopped."""
    passed_on = execution.observed or not execution.status.get("children")
    if not execution.finished or execution.tree_open or not passed_on:
        return None
    if execution.phase == STOPPED or execution.condition("TreeSucceeded").get("reason") == "TreeStopped":
        return Outcome(describe(execution))
    return Outcome(f"finished before it could be stopped: {describe(execution)}", NotAllowed.exit_code)


def retried(token: str) -> Goal:
    def goal(execution: Execution) -> Outcome | None:
        refused = execution.condition("RetryRefused")
        if refused.get("status") == "True" and execution.observed:
            return Outcome(f"not retried: {one_line(str(refused.get('message', '')))}", NotAllowed.exit_code)
        if execution.status.get("lastRetry") != token:
            return None
        if not execution.made:
            # It has never run, so this is no attempt: its Flow was validated again.
            return Outcome(f"validated again: {describe(execution)}")
        return Outcome(
            f"retried: attempt {execution.status.get('attempt', '')} {describe(execution)}{_kept(execution)}"
        )

    return goal


def _kept(execution: Execution) -> str:
    """Say what the newest retry kept and runs again, if it was one from a node or with another revision."""
    ended: dict[str, Any] = next(reversed(execution.status.get("attempts") or [{}]))
    return one_line(f"; {rerun_text(ended)}") if "kept" in ended else ""


def signal_judged(id_: str, said: str) -> Goal:
    """The operator has accepted or refused a signal."""

    def goal(execution: Execution) -> Outcome | None:
        for each in execution.status.get("signals") or ():
            if each.get("id") == id_ and each.get("state") == "Refused":
                return Outcome(f"refused the signal: {one_line(str(each.get('message', '')))}", NotAllowed.exit_code)
            if each.get("id") == id_:
                return Outcome(said)
        return None

    return goal


def breakpoints_set(execution: Execution) -> Outcome | None:
    return Outcome(f"breakpoints set; {describe(execution)}") if execution.observed else None


def ended(execution: Execution) -> Outcome | None:
    """Finished; exit code 1 unless it completed."""
    if not execution.finished or not _is_current(execution):
        return None
    return Outcome(describe(execution), 0 if execution.phase == COMPLETED else 1)


def reached(state: str) -> Goal:
    """The goal of `wait --for`; exit code 1 if it is out of reach."""
    if state == "tree":
        return tree_ended

    def goal(execution: Execution) -> Outcome | None:
        if not _is_current(execution):
            return None
        if state == "paused" and execution.phase == PAUSED and not execution.count("running"):
            # A resume or a step that is not applied yet will end this pause.
            return Outcome(describe(execution)) if _applied(execution) else None
        if not execution.finished:
            return None
        reached_ = state == "finished" or execution.phase.lower() == state
        if reached_:
            return Outcome(describe(execution))
        return Outcome(f"will not be {state}: {describe(execution)}", 1)

    return goal


def tree_ended(execution: Execution) -> Outcome | None:
    """Finished with all descendants; exit code 1 unless all completed."""
    tree = execution.condition("TreeSucceeded")
    if not _is_current(execution) or tree.get("status", "Unknown") == "Unknown":
        return None
    if tree["status"] != "True":
        return Outcome(describe(execution), 1)
    below = one_line(str(tree.get("message", ""))) if execution.status.get("children") else ""
    return Outcome(f"completed; {below}" if below else "completed")


def _is_current(execution: Execution) -> bool:
    """Whether the status is of the current attempt, not of one before a requested retry."""
    requested = (execution.spec.get("retry") or {}).get("token")
    return execution.observed or requested in (None, execution.status.get("lastRetry"))


def _applied(execution: Execution) -> bool:
    """Whether the operator has seen the spec and the engine has applied its tokens."""
    echoes = {"resume": "lastResume", "step": "lastStep"}
    done = all(execution.spec.get(token) in (None, execution.status.get(echo)) for token, echo in echoes.items())
    return execution.observed and done


def accepted(execution: Execution) -> Outcome | None:
    """The operator has accepted a new execution, or rejected it (exit code 1)."""
    if execution.made:
        return Outcome(f"accepted; {describe(execution)}")
    return ended(execution)


def held_or_ended(execution: Execution) -> Outcome | None:
    """The operator has accepted an execution that was created paused."""
    if execution.held and execution.phase == CREATED:
        return Outcome(describe(execution))
    return ended(execution)
