"""Executions on the API server: create, select, read, edit and wait for them."""
