"""Validation of flows: every error at once, each with the path of its field."""
