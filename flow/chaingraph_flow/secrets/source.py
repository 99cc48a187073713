"""The interface through which an engine gets the values of secrets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from chaingraph_flow.errors import NodeFailed
from chaingraph_flow.secrets.scrubbing import Scrubber


class SecretSource(Protocol):
    """Implemented by whatever runs an engine."""

    @property
    def scrubber(self) -> Scrubber:
        """Removes the values that were resolved so far."""

    async def resolve(self, reference: Mapping[str, Any]) -> str:
        """Return the current value. The scrubber removes it from then on.

        Raises:
            NodeFailed: there is no such secret, or it must not be used: the reason says which.
        """


class NoSecrets:
    """The source of an engine that has none."""

    def __init__(self) -> None:
        self.scrubber = Scrubber()

    async def resolve(self, reference: Mapping[str, Any]) -> str:
        """Refuse."""
        raise NodeFailed("this engine has no access to secrets", reason="SecretForbidden")
