"""Loops of the leading operator that follow the ledger or run from time to time."""
