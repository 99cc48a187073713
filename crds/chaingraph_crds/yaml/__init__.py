"""Read YAML as kubectl does (`reading`), and write it so that kubectl reads the same (`writing`).

All YAML in ChainGraph is read and written here, so that a file means the same to `kubectl apply` and to ChainGraph.
"""
