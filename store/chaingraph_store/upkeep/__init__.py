"""Upkeep: pruning, erasure, the operators and the cluster that the ledger belongs to."""
