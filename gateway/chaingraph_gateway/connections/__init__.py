"""Connections to the gateway: TLS, and limits per address."""
