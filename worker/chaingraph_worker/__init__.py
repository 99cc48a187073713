"""Runs executions: the DBOS application, the workflow of an execution, and the process around them."""
