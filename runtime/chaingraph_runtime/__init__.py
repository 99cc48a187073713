"""What all long-running processes need: logs, health, settings errors, traces, and access to the API server.

It knows nothing of flows or executions. Only operator and gateway use the modules `cluster_*`, because workers do not
use Kubernetes.
"""
