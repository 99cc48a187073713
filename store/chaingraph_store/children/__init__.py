"""Children of executions: spawning, resources, turns and completion."""
