"""When an execution expires: after its end, and after that of everything below it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from chaingraph_crds.execution_status import ExecutionStatus
from chaingraph_operator.decide.status import execution_status
from chaingraph_operator.reconcile.ttl import expiry
from chaingraph_store.executions import ExecutionRow
from fixtures.cluster.execution_cases import META, NOW, UNSEEN, row_of, spec_of

TTL = {"ttlSecondsAfterFinished": 60}
SEEN = NOW + timedelta(hours=2)
"""When the operator looked: it was away for a while."""


def shown(row: ExecutionRow, *, now: datetime = SEEN, before: dict[str, Any] | None = None) -> dict[str, Any]:
    previous = UNSEEN if before is None else ExecutionStatus.of(before)
    return execution_status(META, spec_of(), row, None, previous, now=now, below={"Completed": 3})


@pytest.mark.parametrize("phase", ["Completed", "Failed", "Stopped"])
def test_childless_execution_expires_after_its_own_end(phase: str) -> None:
    assert expiry(TTL, shown(row_of(phase))) == NOW + timedelta(seconds=60)


def test_execution_without_a_ttl_or_active_never_expires() -> None:
    assert expiry({}, shown(row_of("Completed"))) is None
    assert expiry(TTL, shown(row_of("Running"))) is None
    assert expiry(TTL, {}) is None


def test_parent_expires_after_the_last_end_below_it() -> None:
    family = {"total": 3, "completed": 3}
    active = shown(row_of("Completed", children_total=3, children_spawned=3, children_active=1))
    assert expiry(TTL, active) is None
    assert expiry(TTL, active | {"children": family}) is None
    over = row_of("Completed", children_total=3, children_spawned=3)
    status = shown(over, now=SEEN + timedelta(minutes=5), before=active | {"children": family})
    assert expiry(TTL, status) == SEEN + timedelta(minutes=6)
    # An end that the status has in milliseconds, seen in the same second.
    late = {"completionTime": (SEEN + timedelta(minutes=5, milliseconds=700)).isoformat()}
    assert expiry(TTL, status | late) == SEEN + timedelta(minutes=6, milliseconds=700)


def test_status_without_tree_fields_expires_after_its_end() -> None:
    status = {"phase": "Completed", "completionTime": "2026-05-04T12:00:00.250Z"}
    assert expiry(TTL, status) == datetime(2026, 5, 4, 12, 1, 0, 250_000, tzinfo=UTC)
