"""The commands up, down, status, demo and erase."""
