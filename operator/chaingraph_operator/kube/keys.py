"""The key of an object in caches and queues.

It includes the UID: a deleted object and its successor of the same name are different, and pending work for the former
must never affect the latter.
"""

from __future__ import annotations

from typing import NamedTuple


class Key(NamedTuple):
    namespace: str
    name: str
    uid: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"
