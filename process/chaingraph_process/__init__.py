"""What every long-running process of ours needs and no part of ChainGraph owns: logs, health, settings errors.

Knows nothing of flows or executions. Used by the worker, the operator and the CLI's supervisor.
"""
