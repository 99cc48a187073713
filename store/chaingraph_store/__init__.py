"""The ledger in PostgreSQL: executions, flow revisions, journal, events, leases, and the way into DBOS's queue.

Read by the worker and by the operator; neither writes SQL of its own. Each module holds the statements of one
table or of one transaction that spans several:

    ids          execution and workflow ids, derived so that everything can be repeated
    ledger       the connection pool and its settings
    executions   one row an execution, what the operator and people see of it
    creation     row + enqueue + START_SIGNAL, in one transaction
    runs         claim, flush and end of a running attempt, fenced by the owner's epoch
    stopping     STOP, in one transaction
    leases       workers, their leases and their node catalogues
    recovery     hand-back of the work of workers whose lease has run out
    events       the log of an execution
    changes      the change feed that the operator follows
    dispatch     the statements on DBOS's own tables

Times in rows are timestamptz and measured by the database's clock.
"""
