"""The races of control: random scripts of patches and deletions for many executions at once, while processes die.

A batch of executions is created; each is pulled about by its own script of pauses, steps, resumes, breakpoints, stops,
retries and a deletion, at node boundaries and inside nodes; workers are killed, frozen and drained, and the operator
is killed. Then everything comes to rest: spec, ledger, status and DBOS agree, and every rule of `fixtures.races.rules`
holds of the logs. A failure prints the script, what happened when, and the log.
"""

from __future__ import annotations

import asyncio
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Final

import pytest
from hypothesis import HealthCheck, Phase, given, settings

from chaingraph_store.ledger import Ledger
from fixtures import soak
from fixtures.cluster.control_plane import ControlPlane
from fixtures.processes.background import BackgroundLoop
from fixtures.processes.programs import RunOperator, RunWorker
from fixtures.races.arena import Arena, Broken
from fixtures.races.effects import EffectServer
from fixtures.races.pool import Pool
from fixtures.races.scripts import Batch, batches
from fixtures.races.watch import Watch

pytestmark = [pytest.mark.integration, pytest.mark.crash, pytest.mark.long]

_BATCHES: Final = soak.examples(4)
_SIZE: Final = 16
_LEASE_SECONDS: Final = 3.0
_COMMON: Final = ("flow:paused", "flow:resumed", "flow:cancelled", "flow:completed", "debug:breakpoint-hit", "retries")
"""What some of the executions come to whatever is drawn: else the races were none."""
_WORKER: Final = {
    "CHAINGRAPH_LEASE_SECONDS": str(_LEASE_SECONDS),
    "CHAINGRAPH_PARK_SECONDS": "0.3",
    "CHAINGRAPH_DRAIN_SECONDS": "0.5",
    "DBOS_WORKER_CONCURRENCY": "10",
}


class _Stage:
    """What an arena needs, on the loop of the session's fixtures: hypothesis calls tests that are not coroutines."""

    def __init__(self, control_plane: ControlPlane, namespace: str, database_url: str, pool: Pool) -> None:
        self._control_plane = control_plane
        self._namespace = namespace
        self._ledger = Ledger(database_url, application_name="races", pool_size=4)
        self._effects = EffectServer()
        self._pool = pool
        self._background: list[asyncio.Task[None]] = []

    async def open(self) -> Arena:
        await self._ledger.open()
        await self._effects.start()
        await asyncio.to_thread(self._pool.start)
        watch = Watch(self._ledger)
        self._background = [asyncio.create_task(watch.run()), asyncio.create_task(self._pool.keep())]
        self._client = self._control_plane.async_client()
        return Arena(
            client=self._client,
            namespace=self._namespace,
            ledger=self._ledger,
            watch=watch,
            pool=self._pool,
            effects=self._effects,
            lease_seconds=_LEASE_SECONDS,
        )

    async def close(self) -> None:
        for task in self._background:
            task.cancel()
        await asyncio.gather(*self._background, return_exceptions=True)
        await self._client.aclose()
        await self._effects.close()
        await self._ledger.close()


@pytest.fixture
def arena(
    background: BackgroundLoop,
    control_plane: ControlPlane,
    namespace: str,
    database_url: str,
    run_worker: RunWorker,
    run_operator: RunOperator,
) -> Iterator[tuple[Callable[[Batch], None], Counter[str]]]:
    """Plays a batch on a system that lives as long as the test, and raises Broken; and the tally of what happened."""
    pool = Pool(run_worker, run_operator, size=2, environment=_WORKER)
    stage = _Stage(control_plane, namespace, database_url, pool)
    arena = background.run(stage.open())
    yield (lambda batch: background.run(arena.play(batch))), arena.tally
    background.run(stage.close())


@pytest.mark.soak
@pytest.mark.timeout(150 * _BATCHES)
def test_spec_and_ledger_agree_after_random_control_and_kills(
    arena: tuple[Callable[[Batch], None], Counter[str]],
) -> None:
    play_batch, tally = arena
    failures: list[str] = []

    # Nothing is replayed or shrunk: a race need not show a second time, and its message has the script and the log.
    @settings(
        max_examples=_BATCHES,
        deadline=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
        database=None,
    )
    @given(batches(size=_SIZE))
    def play(batch: Batch) -> None:
        if failures:
            return
        began = time.monotonic()
        try:
            play_batch(batch)
            print(f"{time.monotonic() - began:.1f} s for {batch!r}", flush=True)
        except Exception as failure:  # noqa: BLE001 - raised, hypothesis would play the batch again
            told = str(failure) if isinstance(failure, Broken) else "".join(traceback.format_exception(failure))
            failures.append(told)
            print(f"\n--- failure {len(failures)}, {batch!r}\n{told}", flush=True)

    play()
    print(f"\n{dict(sorted(tally.items()))}")
    if failures:
        pytest.fail("\n\n".join(failures), pytrace=False)
    for what in _COMMON:
        assert tally[what], f"no {what} in all these races: {tally}"
