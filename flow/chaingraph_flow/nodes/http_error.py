"""The failure of an HTTP node by the status of a response: message, details, and whether another try makes sense."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Any, Final

from chaingraph_flow.errors import NodeFailed, NotJson
from chaingraph_flow.ports.json_values import require_json
from chaingraph_flow.secrets.scrubbing import Scrubber

NETWORK_ERROR: Final = "NetworkError"
"""The reason of a failure without a response."""
_GOES_AWAY: Final = frozenset((408, 425, 429))
"""Statuses of 4xx that another try may not get."""
_SHOWN: Final = 200
"""Maximum characters of a response in a message."""
_LONGEST_TEXT: Final = 4096
_LARGEST_JSON: Final = 64 * 1024
"""Maximum bytes of a response that is kept as JSON; of another one, the first characters are kept."""


def status_error(
    shown: str, status: int, headers: Mapping[str, str], content: bytes, scrubber: Scrubber | None = None
) -> NodeFailed:
    """Return the failure of a request with this response.

    Args:
        shown: the request, for the message.
        headers: those of the response, by names in lower case.
        scrubber: removes secrets before texts are cut, because a part of one would not be found.
    """
    # Without secrets, no more is read than is shown.
    text = content[: None if scrubber else 4 * _LONGEST_TEXT].decode("utf-8", "replace")
    text = scrubber.text(text) if scrubber else text
    start = " ".join(text[: 2 * _SHOWN].split())
    said = f": {start[:_SHOWN]}{'...' if len(start) > _SHOWN else ''}" if start else ""
    return NodeFailed(
        f"{shown}: status {status}{said}",
        reason=f"HTTP{status}",
        details={"statusCode": status, "headers": dict(headers), "response": _response(content, text)},
        retryable=status >= 500 or status in _GOES_AWAY,
        retry_after=_seconds(headers.get("retry-after", "")),
    )


def _response(content: bytes, text: str) -> Any:
    if not content:
        return None
    if len(content) <= _LARGEST_JSON:
        try:
            found = json.loads(content)
            require_json(found, ())
        except (ValueError, RecursionError, NotJson):
            pass
        else:
            return found
    return text[:_LONGEST_TEXT]


def _seconds(retry_after: str) -> float | None:
    """Parse `Retry-After`: seconds, or a date. RFC 9110, 10.2.3."""
    if retry_after.isdecimal() and len(retry_after) < 10:
        return float(retry_after)
    try:
        return max(0.0, parsedate_to_datetime(retry_after).timestamp() - time.time())
    except (ValueError, TypeError, OverflowError):
        return None
