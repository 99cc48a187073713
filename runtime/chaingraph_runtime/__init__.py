"""What every long-running process of ours needs and no part of ChainGraph owns: logs, health, settings errors, and
the way to the API server.

Knows nothing of flows or executions. Used by the worker, the operator, the gateway and the CLI's supervisor; the
modules `cluster_*` by operator and gateway alone, because workers know no Kubernetes.
"""
