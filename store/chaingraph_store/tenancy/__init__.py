"""Policies and sizes of namespaces."""
