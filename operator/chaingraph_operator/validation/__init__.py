"""Validation of Flows in processes with a budget of time and memory."""
