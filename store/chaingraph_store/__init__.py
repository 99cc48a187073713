"""The ledger in PostgreSQL: executions, flow revisions, journals, event logs and leases.

Worker, operator and gateway write no SQL of their own. Each module has the statements of one table or of one
transaction that spans several. Times in rows are timestamptz, measured by the database's clock.
"""
