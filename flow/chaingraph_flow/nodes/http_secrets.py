"""Secrets in the request of an HTTP node. Messages name the input, never the value."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

from pydantic import SecretStr

from chaingraph_flow.errors import NodeFailed
from chaingraph_flow.secrets.scrubbing import INVALID


def of_header(port: str, secret: SecretStr) -> str:
    """Return a secret as a part of a header. Raises NodeFailed when a header cannot have its characters."""
    value = secret.get_secret_value()
    if value.isascii() and value.isprintable():
        return value
    end = ": it ends with a line break, so store it without one" if value.splitlines() == [value.rstrip("\r\n")] else ""
    raise NodeFailed(f"{port}: the secret has characters that a header cannot have{end}", reason=INVALID)


def basic(username: str, password: SecretStr) -> str:
    """Return the header of basic authentication. RFC 7617."""
    if ":" in username:
        raise NodeFailed("username: the name of a user cannot have a colon in basic authentication", retryable=False)
    pair = f"{username}:{password.get_secret_value()}".encode()
    return f"Basic {base64.b64encode(pair).decode()}"


def with_parameters(query: Mapping[str, Any], secrets: Mapping[str, SecretStr]) -> dict[str, Any]:
    """Return all parameters of a query. Raises NodeFailed when one is set twice."""
    for name in secrets:
        if name in query:
            raise NodeFailed(f"the parameter {name} is set in query and in secretQuery: remove one", retryable=False)
    return {**query, **{name: secret.get_secret_value() for name, secret in secrets.items()}}
