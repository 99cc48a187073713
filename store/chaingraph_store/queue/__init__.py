"""The queue: dispatch, order, leases and recovery. The only access to DBOS's tables."""
