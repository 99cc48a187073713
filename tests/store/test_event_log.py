"""Pages of a log: their bounds, the types that are wanted, and where the next one begins."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chaingraph_store.ids import ExecutionId, execution_id
from chaingraph_store.ledger import Ledger
from chaingraph_store.reads import event_log
from chaingraph_store.reads.event_log import LogPage
from fixtures import soak
from fixtures.ledger.written_log import Written, WrittenLog

pytestmark = pytest.mark.integration

TYPES = ("node:started", "node:completed", "node:failed")


@pytest.fixture
def written(ledger: Ledger) -> Written:
    """The ledger's rows alone: no API server is needed here."""
    return Written(ledger, "team")


async def page(
    ledger: Ledger,
    execution: ExecutionId,
    *,
    from_index: int = -1,
    types: list[str] | None = None,
    limit: int = 1000,
    max_bytes: int = 1_000_000,
) -> LogPage | None:
    async with ledger.connection() as connection:
        return await event_log.page(
            connection, execution, from_index=from_index, types=types, limit=limit, max_bytes=max_bytes
        )


async def through(
    ledger: Ledger, log: WrittenLog, *, types: list[str] | None, limit: int, max_bytes: int, from_index: int = -1
) -> tuple[list[int], int]:
    """The indices of all pages, one after the other, and how many pages there were."""
    found: list[int] = []
    pages = 0
    while True:
        one = await page(ledger, log.id, from_index=from_index, types=types, limit=limit, max_bytes=max_bytes)
        assert one is not None
        assert len(one.events) <= limit
        assert one.following > from_index or one.complete
        found += [each.index for each in one.events]
        from_index, pages = one.following, pages + 1
        if one.complete:
            return found, pages


async def test_page_is_none_for_unknown_execution(ledger: Ledger) -> None:
    assert await page(ledger, execution_id("never made")) is None
    async with ledger.connection() as connection:
        assert await event_log.standing(connection, execution_id("never made")) is None


async def test_page_reports_phase_and_next_index(ledger: Ledger, written: Written) -> None:
    log = await written.execution()
    first = await page(ledger, log.id)
    assert first is not None
    assert ([each.index for each in first.events], first.following, first.complete) == ([-1], 0, True)
    assert not first.standing.ended
    await log.complete()
    last = await page(ledger, log.id, from_index=0)
    assert last is not None
    assert ([each.type for each in last.events], last.following) == (["flow:completed"], 1)
    assert (last.standing.phase, last.standing.next_index, last.standing.ended) == ("Completed", 1, True)
    # Nothing is there yet, and nothing before what was asked for is passed over.
    beyond = await page(ledger, log.id, from_index=9)
    assert beyond is not None
    assert (beyond.events, beyond.following) == ([], 9)


async def test_a_page_ends_after_the_event_that_fills_it(ledger: Ledger, written: Written) -> None:
    log = await written.execution()
    for _ in range(5):
        await log.append("node:completed", text="x" * 1000)
    assert await through(ledger, log, types=None, limit=1000, max_bytes=2000) == ([*range(-1, 5)], 3)
    # One that is larger than a page is a page.
    assert await through(ledger, log, types=None, limit=1000, max_bytes=1) == ([*range(-1, 5)], 6)


@pytest.mark.soak
@settings(max_examples=soak.examples(30), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    written_types=st.lists(st.sampled_from(TYPES), max_size=25),
    wanted=st.none() | st.sets(st.sampled_from(TYPES), min_size=1),
    from_index=st.integers(-1, 30),
    limit=st.integers(1, 30),
    max_bytes=st.integers(1, 400),
)
async def test_pages_hold_every_wanted_event_once_and_in_order(
    ledger: Ledger,
    written: Written,
    written_types: list[str],
    wanted: set[str] | None,
    from_index: int,
    limit: int,
    max_bytes: int,
) -> None:
    log = await written.execution()
    await log.append(*written_types)
    log_ = ["execution:created", *written_types]
    expected = [index for index, type_ in enumerate(log_, start=-1) if wanted is None or type_ in wanted]
    types = None if wanted is None else sorted(wanted)
    found, _ = await through(ledger, log, types=types, limit=limit, max_bytes=max_bytes, from_index=from_index)
    assert found == [index for index in expected if index >= from_index]
