"""The queue: dispatch, order, leases and recovery. The only door to DBOS's tables."""
