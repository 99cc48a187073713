"""The worker's side of its runners: it creates, watches and ends them, and has an engine in each."""
