"""YAML as kubectl reads it (`reading`), and written so that kubectl reads the same (`writing`).

Everything in ChainGraph that reads or writes YAML does it here: a file means the same to `kubectl apply` and to us.
"""
