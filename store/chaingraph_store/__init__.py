"""The ledger in PostgreSQL: executions, flow revisions, journal, events, leases, and the way into DBOS's queue.

Read by worker, operator and gateway; none of them writes SQL of its own. Each module holds the statements of one
table or of one transaction that spans several:

    ids          execution and workflow ids, derived so that everything can be repeated
    ledger       the connection pool and its settings
    executions   one row an execution, what the operator and people see of it
    flow_names   which flow a name stands for, for children that run another flow than their parent
    places       who is taken next from a queue
    creation     row + enqueue + START_SIGNAL, in one transaction
    runs         claim, flush, park and end of a running attempt, fenced by the owner's epoch
    control      pause, resume, step, breakpoints and start, as the spec wants them, in one transaction
    steering     what each of these means for an execution, wherever it is; no SQL
    tokens       which tokens of a spec were used, and ask for nothing any more; no SQL
    obedience    the generation of the resource that was obeyed last
    retrying     the next attempt of what failed or was stopped, in one transaction
    stopping     STOP, down the tree, in one transaction
    leases       workers, their leases and their node catalogues
    recovery     hand-back of the work of workers whose lease has run out
    events       the log of an execution
    event_log    the same in pages, as subscribers get it
    details      one execution for people who look at it
    tree         executions in their order: below one of them, and the roots
    changes      the change feed that the operator follows
    dispatch     the statements on DBOS's own tables
    cluster      which cluster the ledger belongs to
    pruning      removal of what need not be kept any more

Times in rows are timestamptz and measured by the database's clock.
"""
