"""The ledger in PostgreSQL: executions, flow revisions, journals, event logs and leases.

Worker, operator and gateway contain no SQL. Each module has the statements of one table, or of one transaction that
spans several tables. Times in rows are timestamptz, set by the database's clock.
"""
