"""Turn Execution resources into executions, and their progress into statuses.

See docs/explanation/code-tour.md for the rooms.
"""
