"""Derive an execution's id from the UID of its resource. Pure."""

from __future__ import annotations

import base64
import hashlib
from typing import Final

_PREFIX: Final = "EX"
_DIGITS: Final = 24
"""Base32 digits after the prefix: 120 bits."""


def execution_id(uid: str) -> str:
    """Return the id of the execution that the resource with this UID represents."""
    return derived(f"resource/{uid.lower()}")


def derived(seed: str) -> str:
    """Return the id for a seed; always the same one."""
    digest = hashlib.sha256(f"chaingraph.dev/{seed}".encode()).digest()
    return _PREFIX + base64.b32encode(digest).decode("ascii")[:_DIGITS]
