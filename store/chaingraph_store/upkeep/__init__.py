"""Upkeep: pruning, erasure, operators, and the cluster that owns the ledger."""
