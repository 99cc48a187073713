"""Decide whether leases can be checked against the database's clock."""

from __future__ import annotations

import logging
import time
from typing import Final

_JUMP_SECONDS: Final = 2.0
"""A database clock that gained more than this on ours was set, or belongs to another server."""
_log = logging.getLogger(__name__)


class SteadyClock:
    """Compares the database's clock with this process's.

    After a suspend, a correction or a fail-over the database's clock may have jumped, and every lease of a live worker
    would look expired. The workers renew them within moments.

    Args:
        patience: seconds after a jump in which leases are not checked.
    """

    def __init__(self, *, patience: float) -> None:
        self._patience = patience
        self._before: tuple[float, float] | None = None
        self._patient_until = float("-inf")

    def judge(self, clock: float) -> bool:
        """Take a reading of the database's clock, in seconds. Returns whether leases can be checked against it."""
        now = time.monotonic()
        before, self._before = self._before, (clock, now)
        if before is not None and (clock - before[0]) - (now - before[1]) > _JUMP_SECONDS:
            self._patient_until = now + self._patience
            _log.warning("database clock jumped, hand-backs wait %s s for lease renewals", self._patience)
        return now >= self._patient_until
