"""Generators of the repository's generated files. `make generate` runs them; neither wheel nor image has them."""
