"""Decisions: plans, statuses, conditions and manifests. Pure; nothing here reaches a server or a database."""
