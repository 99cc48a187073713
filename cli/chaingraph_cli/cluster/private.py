"""Files and folders of the local cluster that only their owner can read: keys, tokens, and outputs in logs."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import BinaryIO, Final

from chaingraph_cli.errors import StateInvalid

UMASK: Final = 0o077
"""The umask of the supervisor and its processes."""


def make_folder(path: Path) -> None:
    """Make a private folder; an existing one becomes private.

    Raises:
        StateInvalid: it belongs to another user, or is shared like /tmp.
    """
    path.mkdir(parents=True, exist_ok=True, mode=0o700)
    found = path.stat()
    if found.st_uid != os.geteuid() or found.st_mode & stat.S_ISVTX:
        raise StateInvalid(
            f"{path} belongs to another user or is shared, and would contain keys.",
            "Use a folder of your own: --state DIR",
        )
    path.chmod(0o700)


def append_to(path: Path) -> BinaryIO:
    """Open a private log to append to; an existing one becomes private."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.fchmod(descriptor, 0o600)
    return os.fdopen(descriptor, "ab")


def write(path: Path, text: str) -> None:
    """Replace a file by a private one atomically: readers see the old or the new text."""
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
    fresh.replace(path)
