"""Database roles that are kept to the work of their pools, by row-level security.

`setting` reads which roles there are, `policies` says what each may do with every table, `applying` brings the database
there (`chaingraph-worker migrate`), and `own` tells a worker what its role may do. See docs/decisions/0015.
"""
