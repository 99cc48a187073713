"""Reads for people: executions in detail, trees, event logs and outputs."""
