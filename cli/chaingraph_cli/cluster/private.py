"""Folders and files of the local cluster that only their owner may look into: keys, tokens, outputs in logs."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import BinaryIO, Final

from chaingraph_cli.errors import StateInvalid

UMASK: Final = 0o077
"""Of the supervisor and of all that it starts: whatever one of them writes is its owner's."""


def make_folder(path: Path) -> None:
    """Make a folder for its owner alone; one that is there becomes private.

    Raises:
        StateInvalid: it belongs to another user, or is one that users share, as /tmp.
    """
    path.mkdir(parents=True, exist_ok=True, mode=0o700)
    found = path.stat()
    if found.st_uid != os.geteuid() or found.st_mode & stat.S_ISVTX:
        raise StateInvalid(
            f"{path} belongs to another user or is shared by users, and keys would be in it.",
            "Name a folder of your own: --state DIR",
        )
    path.chmod(0o700)


def append_to(path: Path) -> BinaryIO:
    """Open a log to append to; also one that an earlier version made is private from now on."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.fchmod(descriptor, 0o600)
    return os.fdopen(descriptor, "ab")
