"""The keys of the spans in an execution's trace. Pure; operator and worker derive them independently.

An execution has its own trace, whose id is derived from the execution's, so no column is needed. A tree has one trace
per execution and not one for all: it may have a hundred thousand over days, more than trace viewers can show. A child's
first span links to the span that created it, and every span names the root.
"""

from __future__ import annotations

from typing import Final

from chaingraph_store.ids import ExecutionId

CREATE: Final = "execution.create"
ATTEMPT: Final = "execution.attempt"
SPAWN: Final = "execution.spawn"

EXECUTION_ID: Final = "chaingraph.execution.id"
NAMESPACE: Final = "chaingraph.execution.namespace"
NAME: Final = "chaingraph.execution.name"
ROOT_ID: Final = "chaingraph.execution.root_id"
PARENT_ID: Final = "chaingraph.execution.parent_id"
QUEUE: Final = "chaingraph.queue"
FLOW: Final = "chaingraph.flow.name"
REVISION: Final = "chaingraph.flow.revision"
ATTEMPT_NUMBER: Final = "chaingraph.attempt"
RUN: Final = "chaingraph.run"
OUTCOME: Final = "chaingraph.outcome"
CHILDREN: Final = "chaingraph.children"
NODE_ID: Final = "chaingraph.node.id"
NODE_TYPE: Final = "chaingraph.node.type"
NODE_TRIES: Final = "chaingraph.node.tries"
ERROR_TYPE: Final = "error.type"


def create(execution: ExecutionId) -> str:
    """Return the key of the operator's span for an execution with a resource: the root of its trace."""
    return f"{execution}/create"


def attempt(execution: ExecutionId, epoch: int) -> str:
    """Return the key of a worker's span from a claim to its end. `epoch`: of the claim, to separate recoveries."""
    return f"{execution}/attempt/{epoch}"


def node(execution: ExecutionId, epoch: int, node_id: str) -> str:
    """Return the key of the span for a node that ended in a run."""
    return f"{execution}/attempt/{epoch}/node/{node_id}"


def spawn(execution: ExecutionId) -> str:
    """Return the key of the span in which an execution's children were created; they link to it."""
    return f"{execution}/spawn"
