"""Leader election, and the guard against serving two clusters from one database."""
