"""Reconcilers: make rows match specs, and statuses match rows."""
