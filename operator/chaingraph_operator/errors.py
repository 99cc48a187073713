"""The exceptions of the operator. Errors of API server access are in `chaingraph_runtime.cluster_errors`.

OperatorError
├── PartEnded          a permanent component stopped: the process exits and is restarted
├── ClusterUnknown     this cluster cannot be identified: the operator serves nothing
└── NoLeaseNamespace   leader election is on, but the Lease's namespace is unknown: set CHAINGRAPH_LEASE_NAMESPACE
"""


class OperatorError(Exception):
    """Base of this package's exceptions."""


class PartEnded(OperatorError):
    """A permanent component of the operator stopped. The process must exit, so that its supervisor restarts it."""


class ClusterUnknown(OperatorError):
    """This cluster cannot be identified, so it is unknown whose ledger this is. The message says what to allow."""


class NoLeaseNamespace(OperatorError):
    """Leader election is on, and the namespace of the Lease is unknown. The message says what to set."""
