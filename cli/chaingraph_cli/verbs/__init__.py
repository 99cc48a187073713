"""The verbs of `kubectl chaingraph`.

kubectl itself reads and edits the resources, so that contexts, credentials, proxies and permissions are its own.
Import a verb's modules only when it runs: a verb has 0.3 seconds, most of which are kubectl's.
"""
