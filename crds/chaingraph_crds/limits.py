"""Upper bounds of the API's lists and strings.

The API server rejects longer ones, which also keeps the estimated cost of the CEL rules within its budget. The operator
shortens what it writes into a status to these bounds, so that a patch never fails for its length.
"""

from typing import Final

MAX_NODES: Final = 500
MAX_EDGES: Final = 2000
MAX_FLOW_INPUTS: Final = 100
MAX_FLOW_OUTPUTS: Final = 100
MAX_NODE_INPUTS: Final = 200
MAX_SUBFLOWS: Final = 20
MAX_SUBFLOW_NODES: Final = 100
MAX_SUBFLOW_EDGES: Final = 200
MAX_SUBFLOW_PORTS: Final = 50
MAX_CALL_DEPTH: Final = 8
"""Maximum calls inside one another."""
MAX_INTEGRATION_KEYS: Final = 100
MAX_EVENTS: Final = 100
MAX_RETRY_REASONS: Final = 20
MAX_BREAKPOINTS: Final = 100
MAX_SIGNALS: Final = 100
"""Maximum entries of `spec.signals`. One that was delivered may be removed."""
MAX_GROUPS: Final = 200
MAX_GROUP: Final = 253
MAX_USER: Final = 1024
MAX_PROMPT: Final = 1024

MAX_PLACES: Final = 5000
"""Maximum nodes of a flow, counting those of a subflow once for each node that calls it."""

MAX_IDENTIFIER: Final = 63
"""Maximum characters of a node id, an input's or an output's name: the length of a Kubernetes label value."""
MAX_NODE_PATH: Final = 253
"""Maximum characters of the path of a node inside subflows: `pages[12].fetch`."""
MAX_RESOURCE_NAME: Final = 253
"""Maximum characters of a Kubernetes object's name."""
MAX_ENDPOINT: Final = 512
"""Maximum characters of one end of an edge: a node id, a port and a path into its value."""
MAX_TYPE: Final = 128
MAX_EVENT_NAME: Final = 128
MAX_TITLE: Final = 256
MAX_DESCRIPTION: Final = 4096
MAX_TOKEN: Final = 128
MAX_STOP_REASON: Final = 1024
MAX_TIMEOUT_SECONDS: Final = 604_800
"""A week: the maximum timeout of a node, a flow or a start."""
MAX_TTL_SECONDS: Final = 315_360_000
"""Ten years."""

MAX_CONDITIONS: Final = 16
MAX_CONDITION_MESSAGE: Final = 32_768
"""The limit of `metav1.Condition.message`."""
MAX_REASON: Final = 1024
MAX_ERROR_MESSAGE: Final = 4096
MAX_CURRENT_NODES: Final = 50
MAX_RUNS_AGAIN: Final = 20
MAX_ATTEMPTS: Final = 10
MAX_ATTEMPT_MESSAGE: Final = 1024
MAX_CHILD_REFS: Final = 100
MAX_EXECUTION_ID: Final = 64
MAX_POSITION: Final = 2_147_483_647
"""Maximum position of a child among those of its parent: the limit of the ledger's column."""
MAX_WORKER: Final = 253
MAX_WORKER_VERSION: Final = 63
