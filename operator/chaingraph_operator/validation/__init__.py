"""Validation of Flows in processes with limited time and memory."""
