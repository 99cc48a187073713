"""Reads for users: execution details, trees, event logs, outputs and statistics."""
