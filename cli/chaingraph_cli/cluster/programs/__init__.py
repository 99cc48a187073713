"""The programs of a local cluster: found or built, started and probed."""
