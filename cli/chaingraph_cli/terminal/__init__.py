"""Text for terminals: tables, JSON and YAML, progress, and escapes for what would steer a terminal."""
