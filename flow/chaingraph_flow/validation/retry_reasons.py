"""Check the reasons of `retryOn`: a misspelled one would never match, and nothing would be retried."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from chaingraph_flow.field_errors import ErrorCode, FieldError, Suggestions

KNOWN: Final = (
    *("NodeFailed", "NodeTimeout", "NodeKilled", "InvalidInput", "InvalidOutput", "NetworkError"),
    *("SecretNotFound", "SecretKeyNotFound", "SecretNotAllowed", "SecretForbidden"),
    *("SecretInvalid", "SecretUnavailable"),
    *("HTTP4xx", "HTTP5xx", "HTTP408", "HTTP425", "HTTP429", "HTTP500", "HTTP502", "HTTP503", "HTTP504"),
)
"""Reasons of the engine and of the built-in nodes. A team's own nodes may give others."""
NEVER: Final = frozenset(("DepthLimit", "TooManyChildren", "LimitExceeded", "EgressDenied"))
"""Reasons of the engine that another try would meet again."""
_NEVER_OF_NODES: Final = frozenset(("ExpressionFailed",))
"""Such reasons of the built-in nodes."""
_HTTP: Final = re.compile(r"(?i)http.*")
_STATUS: Final = re.compile(r"HTTP[1-9]([0-9]{2}|xx)")


def reason_errors(path: str, reasons: Sequence[str], suggest: Suggestions) -> list[FieldError]:
    """Return the errors of a node's `retryOn`."""
    found = []
    for index, reason in enumerate(reasons):
        message = _problem(reason, suggest)
        if message:
            found.append(FieldError(f"{path}[{index}]", ErrorCode.INVALID_VALUE, message))
    return found


def _problem(reason: str, suggest: Suggestions) -> str:
    if reason in NEVER or reason in _NEVER_OF_NODES:
        return f"{reason!r} is never retried: another try would fail in the same way"
    if _STATUS.fullmatch(reason) or reason in KNOWN:
        return ""
    if _HTTP.fullmatch(reason):
        return f"{reason!r} is no reason of an HTTP node: write a status as HTTP503, or a class of them as HTTP5xx"
    meant, hint = suggest.almost(reason, KNOWN)
    return f"unknown reason {reason!r}{hint}" if meant else ""
