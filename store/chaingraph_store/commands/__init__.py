"""Commands: creation, pause, resume, step, stop and retry, each in one transaction."""
