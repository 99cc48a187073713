"""Ports: their types, the values they take, and the ends of edges as text."""
