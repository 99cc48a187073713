"""Values of secrets: who resolves a reference, and how they are removed from everything that an execution writes."""
