"""Loops of the leading operator: they follow the ledger, or run periodically."""
