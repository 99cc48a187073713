"""The tries of a node: one pass of its code, its end, and whether another try follows."""
