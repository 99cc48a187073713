"""Reads for people: executions in detail, trees, event logs, outputs and statistics."""
