"""Resolve the secrets of a node just before its code runs, at each try: a rotated one is seen by the next."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import SecretStr

from chaingraph_flow.graph import GraphNode
from chaingraph_flow.ports.types import Secret
from chaingraph_flow.secrets.source import SecretSource


async def with_secrets(node: GraphNode, values: Mapping[str, Any], source: SecretSource) -> dict[str, Any]:
    """Return the inputs with the values of secrets in place of their references.

    Only inputs of these types are resolved: a value that merely looks like a reference stays one.

    Raises:
        NodeFailed: a secret cannot be used.
    """
    resolved = dict(values)
    for port in node.type.inputs:
        if port.key not in node.type.secret_inputs:
            continue
        value = values.get(port.key)
        if isinstance(port.type, Secret):
            resolved[port.key] = SecretStr("" if value is None else await source.resolve(value))
        else:
            given = {name: each for name, each in (value or {}).items() if each is not None}
            resolved[port.key] = {name: SecretStr(await source.resolve(each)) for name, each in given.items()}
    return resolved
