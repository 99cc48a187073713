"""The gateway's client: discovery, credentials, lookups by name, and event streams."""
