"""Read one secret for an execution, or say why it must not be used. Values are in no message and in no log record."""

from __future__ import annotations

import re
from typing import Any, Final, Protocol

import structlog

from chaingraph_crds.secret_references import SecretReference
from chaingraph_worker import metrics
from chaingraph_worker.errors import SecretReason, SecretRefused
from chaingraph_worker.secrets.files import SecretFiles

LARGEST: Final = 64 * 1024
"""Maximum bytes of a secret."""
EVERY_NAMESPACE: Final = "*"
_NAMESPACE: Final = re.compile("[a-z0-9]([-a-z0-9]*[a-z0-9])?")

_log = structlog.get_logger(__name__)


class SecretStore(Protocol):
    """The Secrets of a cluster."""

    async def read(self, namespace: str, name: str, key: str) -> bytes:
        """Return the current value of a key. Raises SecretRefused."""


class SecretReader:
    """Reads secrets for runners.

    Args:
        namespaces: whose Secrets this worker reads; `*` for all.
        store: the cluster's Secrets; None when the worker reads none.
        files: the mounted secrets.
    """

    def __init__(
        self,
        namespaces: frozenset[str] = frozenset(),
        store: SecretStore | None = None,
        files: SecretFiles | None = None,
    ) -> None:
        self._namespaces = namespaces
        self._store = store
        self._files = files or SecretFiles()

    async def read(self, namespace: str, reference: Any) -> tuple[str, str]:
        """Return the name of a secret for messages, and its value.

        Args:
            namespace: that of the execution. A reference has none of its own.
            reference: as the runner sent it: it may be anything.

        Raises:
            SecretRefused: the reason says why.
        """
        try:
            found = await self._read(namespace, reference)
        except SecretRefused as refused:
            metrics.SECRETS.labels(refused.reason).inc()
            _log.info("secret refused", reason=refused.reason, error=str(refused))
            raise
        metrics.SECRETS.labels("read").inc()
        return found

    async def _read(self, namespace: str, reference: Any) -> tuple[str, str]:
        wanted = SecretReference.of(reference)
        if wanted is None or not _NAMESPACE.fullmatch(namespace):
            raise SecretRefused(SecretReason.INVALID, "the reference to the secret is invalid")
        if not wanted.key:
            return str(wanted), text_of(await self._files.read(namespace, wanted.name), str(wanted))
        if self._store is None or not {namespace, EVERY_NAMESPACE} & self._namespaces:
            raise SecretRefused(
                SecretReason.FORBIDDEN,
                f"{wanted}: this worker reads no Secrets in namespace {namespace!r}. Add the namespace to "
                "secretNamespaces of the worker pool (CHAINGRAPH_SECRET_NAMESPACES)",
            )
        return str(wanted), text_of(await self._store.read(namespace, wanted.name, wanted.key), str(wanted))


def text_of(value: bytes, what: str) -> str:
    """Return the text of a secret. Raises SecretRefused for anything that is no text, or too large."""
    if len(value) > LARGEST:
        raise SecretRefused(SecretReason.INVALID, f"{what} has more than {LARGEST} bytes")
    try:
        text = value.decode()
    except UnicodeDecodeError:
        text = "\0"
    if "\0" in text:
        raise SecretRefused(SecretReason.INVALID, f"{what} is not text in UTF-8: store it in Base64 once more")
    return text
