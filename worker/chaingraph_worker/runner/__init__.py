"""What runs in a runner: a child process of the worker that runs the engine of one execution at a time.

fork_server  a process without threads that makes runners by forking itself
process      a runner from its fork to its end
session      one engine: its assignment, its reports to the worker, commands to it
assignment   what an engine is told of its execution
frames       the messages between worker and runner
board        a page of memory that both see: the runner's heartbeat, and which node runs
limits       limits of the process, set with the kernel

Nothing here knows PostgreSQL or DBOS: records and events leave as bytes, and the worker writes them as they are.
"""
