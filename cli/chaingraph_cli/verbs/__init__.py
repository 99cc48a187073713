"""The verbs of `kubectl chaingraph`.

kubectl reads and edits the resources, so that contexts, credentials, proxies and permissions are its own. A verb's
modules are imported when it runs: a verb has 0.3 s, and kubectl takes most of it.
"""
