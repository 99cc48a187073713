"""The exceptions of the operator. Those of the way to the API server are `chaingraph_runtime.cluster_errors`.

OperatorError
├── PartEnded          a part that runs for ever has ended: the process exits and is started again
├── ClusterUnknown     nothing tells this cluster from others: nothing is served
└── NoLeaseNamespace   a leader is to be elected, and it is not known where: set CHAINGRAPH_LEASE_NAMESPACE
"""


class OperatorError(Exception):
    """Base of what this package raises on purpose."""


class PartEnded(OperatorError):
    """A part of the operator that never ends has ended. The process must exit: its supervisor starts it afresh."""


class ClusterUnknown(OperatorError):
    """This cluster cannot be told from others, so whose ledger it is stays open. The message says what to allow."""


class NoLeaseNamespace(OperatorError):
    """There is to be an election and no namespace for its Lease. The message says what to set."""
