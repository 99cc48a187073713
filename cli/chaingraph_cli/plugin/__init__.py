"""The verbs of `kubectl chaingraph`, which are `chaingraph`'s as well: one module a verb, and what they share.

`kubectl` itself reads and edits the resources, so that contexts, credentials, proxies and permissions are its own.
Nothing here is imported before it is needed: a verb has 0.3 seconds, most of which are kubectl's.
"""
