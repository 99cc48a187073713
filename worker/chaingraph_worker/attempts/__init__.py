"""Attempts: claim an execution, run its engine, write its journal and its end."""
