"""The rate limiter: at most so many passes in any second, and none lost while a caller waits."""

from __future__ import annotations

import asyncio
import time

from hypothesis import given
from hypothesis import strategies as st

from chaingraph_operator.kube.rate_limiter import RateLimiter


@given(
    per_second=st.floats(0.5, 500),
    pauses=st.lists(st.floats(0, 2), min_size=1, max_size=100),
)
def test_pace_never_exceeds_its_rate(per_second: float, pauses: list[float]) -> None:
    now = 1000.0
    pace = RateLimiter(per_second, clock=lambda: now)
    turns = []
    for pause in pauses:
        now += pause
        turns.append(now + pace.book())
    saved = max(0.0, 0.1 * per_second - 1)
    for first in range(len(turns)):
        for last in range(first + 1, len(turns)):
            most = (turns[last] - turns[first]) * per_second + saved
            assert last - first <= most + 1e-6


@given(per_second=st.floats(0.5, 500), count=st.integers(1, 200))
def test_pace_grants_the_whole_rate_to_steady_requests(per_second: float, count: int) -> None:
    pace = RateLimiter(per_second, clock=lambda: 1000.0)
    waits = [pace.book() for _ in range(count)]
    assert waits[0] == 0
    assert waits[-1] <= (count - 1) / per_second + 1e-6


async def test_pace_makes_concurrent_requests_wait_their_turns() -> None:
    pace = RateLimiter(200)
    started = time.monotonic()
    await asyncio.gather(*(pace.turn() for _ in range(61)))
    assert time.monotonic() - started >= 0.19, "60 turns of 5 ms, of which 19 were saved"
