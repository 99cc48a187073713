"""Reconcilers: update the ledger to match specs, and statuses to match the ledger."""
