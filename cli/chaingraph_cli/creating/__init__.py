"""What `create` creates: from a Flow, a file or an earlier execution, with inputs of the declared types."""
