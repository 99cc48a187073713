"""Texts for people: errors with their paths, and suggestions of names."""
