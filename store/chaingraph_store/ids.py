"""Ids of executions and of their DBOS workflows. Pure.

An execution's id is derived from the UID of its resource, a child's from its parent's id and the position of the
emission that made it. So every create, enqueue and spawn can be repeated without a second run.
"""

from __future__ import annotations

from typing import NewType

from chaingraph_crds import ids

ExecutionId = NewType("ExecutionId", str)
WorkflowId = NewType("WorkflowId", str)

_LONGEST_NAME = 63
_KEPT_OF_NAME = 40
_DIGITS_IN_NAME = 10


def execution_id(uid: str) -> ExecutionId:
    """The id of the execution that the resource with this UID stands for."""
    return ExecutionId(ids.execution_id(uid))


def child_execution_id(parent: ExecutionId, emission: int) -> ExecutionId:
    """The id of the child that the parent's emission number `emission` (from 0) makes."""
    return ExecutionId(ids.derived(f"child/{parent}/{emission}"))


def child_name(parent_name: str, position: int, child: ExecutionId) -> str:
    """The name of a child, and of its resource: `orders-3`, and `orders-3-0` for a child of that.

    What gets longer than a label may be is cut, and told apart by the end of the id.
    """
    name = f"{parent_name}-{position}"
    if len(name) <= _LONGEST_NAME:
        return name
    return long_child_name(parent_name, child)


def long_child_name(parent_name: str, child: ExecutionId) -> str:
    """A child's name that nothing else has: for where the short one is too long, or taken."""
    return f"{parent_name[:_KEPT_OF_NAME].rstrip('.-')}-{child[-_DIGITS_IN_NAME:].lower()}"


def workflow_id(execution: ExecutionId, run: int) -> WorkflowId:
    """The DBOS workflow of a run: the execution's id for the first, with a suffix `-N` for later ones.

    Every retry begins another run, and so does every resume after a parking.

    Raises:
        ValueError: `run` is below 1.
    """
    if run < 1:
        raise ValueError(f"run {run}: runs count from 1")
    return WorkflowId(execution if run == 1 else f"{execution}-{run}")


def hold_workflow_id(execution: ExecutionId, attempt: int = 1) -> WorkflowId:
    """The DBOS workflow that waits for the START_SIGNAL of an attempt."""
    return WorkflowId(f"{execution}-hold" if attempt == 1 else f"{execution}-hold-{attempt}")
