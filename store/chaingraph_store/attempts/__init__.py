"""Attempts: claim, flush, park and end of a running attempt, fenced by the epoch of its owner."""
