"""The name of an object in caches and queues.

The UID is part of it: an object that is deleted and made again under its name is another one, so that what is still
to do about the former never mixes with the latter.
"""

from __future__ import annotations

from typing import NamedTuple


class Key(NamedTuple):
    namespace: str
    name: str
    uid: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"
