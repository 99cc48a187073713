"""The names of the two kinds in the API, for URLs, manifests, labels and owner references."""

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
"""Condition reason of an object whose flow revision has different content in the database."""
TRACEPARENT: Final = f"{GROUP}/traceparent"
"""Annotation of an Execution: the W3C trace context of whatever applied it. Its trace links to that."""
EXECUTION_ID_LABEL: Final = f"{GROUP}/execution-id"
"""On a child's resource: its own `executionID`."""
PARENT_ID_LABEL: Final = f"{GROUP}/parent-id"
"""On a child's resource: the `executionID` of its parent."""
ROOT_ID_LABEL: Final = f"{GROUP}/root-id"
"""On a child's resource: the `executionID` of the root of its tree."""
PAYLOAD_LEFT_OUT_ANNOTATION: Final = f"{GROUP}/payload-left-out"
"""On a child's resource with a payload too large to show: its size, as `20000 bytes`."""
INPUTS_LEFT_OUT_ANNOTATION: Final = f"{GROUP}/inputs-left-out"
"""On a child's resource: the inputs too large to show, each as `name: 20000 bytes`."""

HELD_QUEUE: Final = "chaingraph-held"
"""The queue of executions that wait for their start signal. It has no limits, so nothing else may use it."""
RESERVED_QUEUES: Final = frozenset({HELD_QUEUE})
"""Queue names that the product uses itself. Others cannot be names of user queues: those of one worker version contain
an `@`, and DBOS's own begin with `_`."""

# Annotations of a Namespace with its policy, set by the administrator. The roles edit and admin cannot change a
# Namespace.
QUEUES_ANNOTATION: Final = f"{GROUP}/queues"
MAX_RUNNING_ANNOTATION: Final = f"{GROUP}/max-running"
MAX_WAITING_ANNOTATION: Final = f"{GROUP}/max-waiting"
MAX_PRIORITY_ANNOTATION: Final = f"{GROUP}/max-priority"
WEIGHT_ANNOTATION: Final = f"{GROUP}/weight"
MAX_LEDGER_BYTES_ANNOTATION: Final = f"{GROUP}/max-ledger-bytes"
EGRESS_ANNOTATION: Final = f"{GROUP}/egress"


def reserved_queue(name: str) -> bool:
    """Whether users and workers cannot use this queue name, because the product uses it, or may use it one day."""
    return name in RESERVED_QUEUES or "@" in name or name.startswith("_")
