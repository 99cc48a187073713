"""Secrets as files, for pools whose secrets come from a volume: a Secret of the release, a CSI driver, an agent."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Final

from chaingraph_worker.errors import SecretReason, SecretRefused

_MOST: Final = 64 * 1024 + 1
"""More than a secret may have, so that a larger file is noticed and not read."""


class SecretFiles:
    """The files below a folder, as NAMESPACE/NAME. An execution reads those of its own namespace.

    Args:
        folder: '' when there is none.
    """

    def __init__(self, folder: str = "") -> None:
        self._folder = folder

    async def read(self, namespace: str, name: str) -> bytes:
        """Return the content of a file. The caller has checked both names: they are no paths.

        Raises:
            SecretRefused: there is no such file, or the worker may not read it.
        """
        if not self._folder:
            raise SecretRefused(
                SecretReason.FORBIDDEN,
                f"secret file {name!r}: this worker has no secret files. Mount them, and set secretsFolder of the "
                "worker pool (CHAINGRAPH_SECRETS_FOLDER)",
            )
        path = Path(self._folder) / namespace / name
        try:
            return await asyncio.to_thread(_read, path)
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            raise SecretRefused(SecretReason.NOT_FOUND, f"secret file {name!r} not found: mount it as {path}") from None
        except OSError as error:
            message = f"secret file {name!r} cannot be read: {path}: {error.strerror}"
            raise SecretRefused(SecretReason.FORBIDDEN, message) from None


def _read(path: Path) -> bytes:
    # A pipe or a device would block the thread.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        return file.read(_MOST)
