"""The gateway: reads of executions over HTTPS, authorized by the caller's rights in the cluster.

It reads the ledger and writes nothing.
"""
