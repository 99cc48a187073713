"""Answers that are one JSON object or one value."""
