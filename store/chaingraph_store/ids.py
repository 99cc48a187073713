"""Ids of executions and of their DBOS workflows. Pure.

An execution's id is derived from the UID of its resource, a child's from its parent's id and its emission, its call, or
the attempt that it follows. So every create, enqueue and spawn can be repeated without a second run.
"""

from __future__ import annotations

import re
from typing import NewType

from chaingraph_crds import ids

ExecutionId = NewType("ExecutionId", str)
WorkflowId = NewType("WorkflowId", str)

_LONGEST_NAME = 63
_KEPT_OF_NAME = 40
_DIGITS_IN_NAME = 10
_DIGITS_OF_CALL = 6
_KEPT_OF_CALL = 20


def execution_id(uid: str) -> ExecutionId:
    """Return the id of the execution that the resource with this UID represents."""
    return ExecutionId(ids.execution_id(uid))


def child_execution_id(parent: ExecutionId, emission: int) -> ExecutionId:
    """Return the id of the child for the parent's emission number `emission` (from 0)."""
    return ExecutionId(ids.derived(f"child/{parent}/{emission}"))


def called_execution_id(parent: ExecutionId, call: str, tried: str) -> ExecutionId:
    """Return the id of the execution that a node calls.

    Args:
        call: the path of the call.
        tried: attempt of the parent and try of the node, as `2.1`.
    """
    return ExecutionId(ids.derived(f"call/{parent}/{tried}/{call}"))


def exit_execution_id(parent: ExecutionId, attempt: int) -> ExecutionId:
    """Return the id of the execution that runs after an attempt of its parent (`onExit`)."""
    return ExecutionId(ids.derived(f"exit/{parent}/{attempt}"))


def called_name(parent_name: str, call: str, child: ExecutionId) -> str:
    """Return the name of a called execution and of its resource: `etl-pages-12-x7k2p`, unique by the end of the id."""
    slug = re.sub(r"[^a-z0-9]+", "-", call.lower()).strip("-")
    suffix = child[-_DIGITS_OF_CALL:].lower()
    room = _LONGEST_NAME - len(suffix) - 2
    slug = slug[:_KEPT_OF_CALL].strip("-")
    parts = (parent_name[: room - len(slug)].rstrip("-."), slug, suffix)
    return "-".join(each for each in parts if each)


def child_name(parent_name: str, position: int, child: ExecutionId) -> str:
    """Return the name of a child and of its resource: `orders-3`, and `orders-3-0` for a child of that.

    A name longer than a label is cut, and made unique by the end of the id.
    """
    name = f"{parent_name}-{position}"
    if len(name) <= _LONGEST_NAME:
        return name
    return long_child_name(parent_name, child)


def long_child_name(parent_name: str, child: ExecutionId) -> str:
    """Return a unique name of a child, for when the short one is too long or taken."""
    return f"{parent_name[:_KEPT_OF_NAME].rstrip('.-')}-{child[-_DIGITS_IN_NAME:].lower()}"


def workflow_id(execution: ExecutionId, run: int) -> WorkflowId:
    """Return the DBOS workflow id of a run: the execution's id for the first, with a suffix `-N` for later ones.

    Every retry starts another run, and so does every resume after parking.

    Raises:
        ValueError: `run` is below 1.
    """
    if run < 1:
        raise ValueError(f"run {run}: must be at least 1")
    return WorkflowId(execution if run == 1 else f"{execution}-{run}")


def hold_workflow_id(execution: ExecutionId, attempt: int = 1) -> WorkflowId:
    """Return the id of the DBOS workflow that waits for the START_SIGNAL of an attempt."""
    return WorkflowId(f"{execution}-hold" if attempt == 1 else f"{execution}-hold-{attempt}")
