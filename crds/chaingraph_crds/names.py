"""The names under which the API server knows the two kinds.

Everything that builds a URL, a manifest, a label or an owner reference takes them from here.
"""

from typing import Final

GROUP: Final = "chaingraph.dev"
VERSION: Final = "v1alpha1"
API_VERSION: Final = f"{GROUP}/{VERSION}"
CATEGORY: Final = "chaingraph"

FLOW_KIND: Final = "Flow"
FLOW_PLURAL: Final = "flows"
FLOW_SINGULAR: Final = "flow"
FLOW_SHORT: Final = "cgf"

EXECUTION_KIND: Final = "Execution"
EXECUTION_PLURAL: Final = "executions"
EXECUTION_SINGULAR: Final = "execution"
EXECUTION_SHORT: Final = "cgx"

FLOW_CRD: Final = f"{FLOW_PLURAL}.{GROUP}"
EXECUTION_CRD: Final = f"{EXECUTION_PLURAL}.{GROUP}"

KINDS: Final = (FLOW_KIND, EXECUTION_KIND)

CONFLICTING_REVISION: Final = "ConflictingRevision"
"""Reason of the conditions of an object whose flow's revision has another content in the database."""
TRACEPARENT: Final = f"{GROUP}/traceparent"
"""Annotation of an Execution: what applied it, as W3C Trace Context writes it. Its trace gets a link to that."""
EXECUTION_ID_LABEL: Final = f"{GROUP}/execution-id"
"""On the resource of a child: its own `executionID`."""
PARENT_ID_LABEL: Final = f"{GROUP}/parent-id"
"""On the resource of a child: the `executionID` of what spawned it."""
ROOT_ID_LABEL: Final = f"{GROUP}/root-id"
"""On the resource of a child: the `executionID` at the root of its tree."""
PAYLOAD_LEFT_OUT_ANNOTATION: Final = f"{GROUP}/payload-left-out"
"""On the resource of a child whose event carries more than the resource shows: how much, as `20000 bytes`."""
INPUTS_LEFT_OUT_ANNOTATION: Final = f"{GROUP}/inputs-left-out"
"""On the resource of a child: the inputs that are too long to be shown, each as `name: 20000 bytes`."""

HELD_QUEUE: Final = "chaingraph-held"
"""The queue on which executions wait for their start signal. It has no limits, so nothing else may use it."""
RESERVED_QUEUES: Final = frozenset({HELD_QUEUE})
"""Names of queues that the product uses itself. It makes others too, which the form of a queue's name rules out: those
of one version of the workers, with an `@`, and DBOS's own, which begin with `_`."""

# Annotations of a Namespace, by which the administrator says what it may use. Nobody with the roles edit or admin can
# change a Namespace.
QUEUES_ANNOTATION: Final = f"{GROUP}/queues"
MAX_RUNNING_ANNOTATION: Final = f"{GROUP}/max-running"
MAX_WAITING_ANNOTATION: Final = f"{GROUP}/max-waiting"
MAX_PRIORITY_ANNOTATION: Final = f"{GROUP}/max-priority"
WEIGHT_ANNOTATION: Final = f"{GROUP}/weight"
MAX_LEDGER_BYTES_ANNOTATION: Final = f"{GROUP}/max-ledger-bytes"
EGRESS_ANNOTATION: Final = f"{GROUP}/egress"


def reserved_queue(name: str) -> bool:
    """Whether users and workers cannot name this queue, because the product uses it, or may use it one day."""
    return name in RESERVED_QUEUES or "@" in name or name.startswith("_")
