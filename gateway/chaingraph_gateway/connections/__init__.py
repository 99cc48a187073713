"""Connections to the gateway: TLS, limits, and what one address may take."""
