"""What the spans of an execution's trace are called. Pure; operator and worker agree on it without telling each other.

An execution has a trace of its own, whose id is derived from the execution's: no column has to carry it, and whoever
knows an execution knows its trace. A tree is one trace for each execution and not one for all: it may have a hundred
thousand, over days, which is more than what shows traces can show. A child's first span has a link to the span that
made it, and every span names the root.
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
    """The operator's span of an execution that stands for a resource: the root of its trace."""
    return f"{execution}/create"


def attempt(execution: ExecutionId, epoch: int) -> str:
    """A worker's span from a claim to its end. `epoch`: of the claim, so that one after a recovery is another span."""
    return f"{execution}/attempt/{epoch}"


def node(execution: ExecutionId, epoch: int, node_id: str) -> str:
    """A node that ended in a run."""
    return f"{execution}/attempt/{epoch}/node/{node_id}"


def spawn(execution: ExecutionId) -> str:
    """The making of an execution's children, which these link to."""
    return f"{execution}/spawn"
