"""The words that ask for something once, for `spec.step`, `spec.resume` and `spec.retry.token`."""

from __future__ import annotations

import os
from datetime import UTC, datetime


def new_token(now: datetime | None = None) -> str:
    """A token that tells people when it was set, as `20261124T020304.123Z-9f3a61`.

    Two that are made in the same millisecond differ in their last part.
    """
    moment = now or datetime.now(UTC)
    return f"{moment:%Y%m%dT%H%M%S}.{moment.microsecond // 1000:03d}Z-{os.urandom(3).hex()}"
