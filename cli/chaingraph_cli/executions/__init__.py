"""Executions on the API server: read, select, edit and wait for them."""
