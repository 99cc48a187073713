"""The programs of a local cluster: how to start and probe them."""
