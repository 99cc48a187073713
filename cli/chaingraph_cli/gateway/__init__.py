"""The gateway's client: discovery, credentials, requests and event streams."""
