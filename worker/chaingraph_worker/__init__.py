"""Runs executions: the DBOS application, the workflow of an execution, and the process around them.

main         the process: settings, start, drain at SIGTERM; `chaingraph-worker migrate`
settings     its environment variables
application  DBOS: configuration, queues, launch and end
workflows    the two workflows, `run_execution` and `hold_execution`
attempt      one run of an attempt: claim, engine, end
engine       the engine of a claim
inbox        commands on their way from the workflow's messages to the engine
control      commands reach the engine, its pauses the row; parking
flusher      the one writer of a running attempt
running      the attempts of this process, and what ends or commands them from outside
lease        this worker's lease, without which it exits
metrics      what Prometheus reads
migrate      the database's schemas
"""
