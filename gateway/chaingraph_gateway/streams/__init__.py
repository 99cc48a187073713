"""Streams of events: Server-Sent Events from an execution's log."""
