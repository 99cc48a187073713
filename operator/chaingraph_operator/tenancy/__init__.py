"""What a namespace may use: annotations, admission and accounting."""
