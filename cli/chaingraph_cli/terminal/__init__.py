"""Writes to terminals: tables, JSON and YAML, progress lines, and escapes of control characters."""
