"""Authentication and authorization: who the caller is, and which executions they may see."""
