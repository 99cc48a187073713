"""Who the caller is, and which executions they may see."""
