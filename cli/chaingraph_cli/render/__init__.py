"""Formats executions, trees, events and outputs for the terminal."""
