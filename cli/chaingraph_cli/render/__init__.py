"""What is printed: tables, trees, event lines, and text that cannot steer a terminal."""
