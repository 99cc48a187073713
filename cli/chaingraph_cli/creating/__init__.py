"""Builds the manifest for `create` from a Flow, a file or an earlier execution."""
