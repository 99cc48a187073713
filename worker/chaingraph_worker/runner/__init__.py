"""The runner: a child process of the worker that runs the engine of one execution at a time.

Nothing here knows PostgreSQL or DBOS: records and events leave as bytes, and the worker writes them unchanged.
"""
