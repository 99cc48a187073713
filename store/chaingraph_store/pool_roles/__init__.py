"""Database roles restricted to the work of their pools, by row-level security. See docs/decisions/0015."""
