"""Decisions: plans, statuses, conditions and manifests. Pure: no API server, no database."""
