"""When a verb has been carried out, read off the status alone, and what there is to say then. Pure; for `waiting`.

Each function returns None while it has not happened.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from chaingraph_cli.errors import NotAllowed
from chaingraph_cli.execution import COMPLETED, CREATED, PAUSED, STOPPED, Execution, standing
from chaingraph_cli.terminal.escapes import one_line


@dataclass(frozen=True)
class Outcome:
    """What happened, as words after the execution's name, and the exit code that it makes."""

    text: str
    code: int = 0


Judge = Callable[[Execution], Outcome | None]


def started(execution: Execution) -> Outcome | None:
    if execution.held or not execution.observed or execution.phase == CREATED:
        return None
    return Outcome(f"started; {standing(execution)}")


def paused(execution: Execution) -> Outcome | None:
    """Paused, and the nodes that were in flight have ended."""
    if execution.finished:
        return Outcome(f"ended before it could pause: {standing(execution)}", NotAllowed.exit_code)
    if execution.observed and execution.phase == PAUSED and not execution.count("running"):
        return Outcome(standing(execution))
    return None


def resumed(token: str) -> Judge:
    def judge(execution: Execution) -> Outcome | None:
        if execution.finished:
            return Outcome(f"resumed; {standing(execution)}")
        if execution.observed and execution.status.get("lastResume") == token:
            # It may have come to the next breakpoint meanwhile.
            return Outcome(f"resumed; {standing(execution)}")
        return None

    return judge


def stepped(token: str) -> Judge:
    """Carried out, and what it set going has ended: then the next nodes are known."""

    def judge(execution: Execution) -> Outcome | None:
        if execution.finished:
            return Outcome(standing(execution))
        if execution.status.get("lastStep") != token:
            return None
        if execution.phase == PAUSED and not execution.count("running"):
            return Outcome(standing(execution))
        return None

    return judge


def stopped(execution: Execution) -> Outcome | None:
    """Stopped, or completed and what was active below it stopped."""
    passed_on = execution.observed or not execution.status.get("children")
    if not execution.finished or execution.tree_open or not passed_on:
        return None
    if execution.phase == STOPPED or execution.condition("TreeSucceeded").get("reason") == "TreeStopped":
        return Outcome(standing(execution))
    return Outcome(f"ended before it could be stopped: {standing(execution)}", NotAllowed.exit_code)


def retried(token: str) -> Judge:
    def judge(execution: Execution) -> Outcome | None:
        refused = execution.condition("RetryRefused")
        if refused.get("status") == "True" and execution.observed:
            return Outcome(f"not retried: {one_line(str(refused.get('message', '')))}", NotAllowed.exit_code)
        if execution.status.get("lastRetry") != token:
            return None
        if not execution.made:
            # It has never run, so this is no attempt: it was checked again.
            return Outcome(f"checked again: {standing(execution)}")
        return Outcome(f"retried: attempt {execution.status.get('attempt', '')} {standing(execution)}")

    return judge


def breakpoints_set(execution: Execution) -> Outcome | None:
    return Outcome(f"breakpoints are set; {standing(execution)}") if execution.observed else None


def ended(execution: Execution) -> Outcome | None:
    """Any end; exit code 1 unless it completed."""
    if not execution.finished or not _speaks_of_now(execution):
        return None
    return Outcome(standing(execution), 0 if execution.phase == COMPLETED else 1)


def reached(wanted: str) -> Judge:
    """For `wait --for`: completed, failed, stopped, paused, finished or tree. Another end than that makes 1."""
    if wanted == "tree":
        return tree_ended

    def judge(execution: Execution) -> Outcome | None:
        if not _speaks_of_now(execution):
            return None
        if wanted == "paused" and execution.phase == PAUSED and not execution.count("running"):
            # Not the pause that a resume or a step, which was just asked for, is about to end.
            return Outcome(standing(execution)) if _carried_out(execution) else None
        if not execution.finished:
            return None
        as_wanted = wanted == "finished" or execution.phase.lower() == wanted
        if as_wanted:
            return Outcome(standing(execution))
        return Outcome(f"will not be {wanted}: {standing(execution)}", 1)

    return judge


def tree_ended(execution: Execution) -> Outcome | None:
    """The end of it and of everything below it; exit code 1 unless all completed."""
    tree = execution.condition("TreeSucceeded")
    if not _speaks_of_now(execution) or tree.get("status", "Unknown") == "Unknown":
        return None
    if tree["status"] != "True":
        return Outcome(standing(execution), 1)
    below = one_line(str(tree.get("message", ""))) if execution.status.get("children") else ""
    return Outcome(f"completed; {below}" if below else "completed")


def _speaks_of_now(execution: Execution) -> bool:
    """Not the end of an attempt whose retry was asked for and has not been taken up yet."""
    asked = (execution.spec.get("retry") or {}).get("token")
    return execution.observed or asked in (None, execution.status.get("lastRetry"))


def _carried_out(execution: Execution) -> bool:
    """The operator has seen the spec, and the engine has done what its tokens ask for."""
    asked = {"resume": "lastResume", "step": "lastStep"}
    done = all(execution.spec.get(token) in (None, execution.status.get(echo)) for token, echo in asked.items())
    return execution.observed and done


def accepted(execution: Execution) -> Outcome | None:
    """For what was created: the operator has brought it to the ledger, or has refused it; then exit code 1."""
    if execution.made:
        return Outcome(f"accepted; {standing(execution)}")
    return ended(execution)


def held_or_ended(execution: Execution) -> Outcome | None:
    """For what is created paused: once the operator has it."""
    if execution.held and execution.phase == CREATED:
        return Outcome(standing(execution))
    return ended(execution)
