"""Tokens of `spec.step`, `spec.resume` and `spec.retry.token`: each new one requests one action."""

from __future__ import annotations

import os
from datetime import UTC, datetime


def new_token(now: datetime | None = None) -> str:
    """Make a token that shows when it was set, such as `20261124T020304.123Z-9f3a61`.

    Two of the same millisecond differ in the last part.
    """
    moment = now or datetime.now(UTC)
    return f"{moment:%Y%m%dT%H%M%S}.{moment.microsecond // 1000:03d}Z-{os.urandom(3).hex()}"
