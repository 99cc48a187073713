"""Three tenants on the same workers, one of them hostile: the honest ones get their work done, once, uncharged."""

from __future__ import annotations

import asyncio
import os
import random
from collections import Counter
from pathlib import Path

import pytest

from chaingraph_store.executions import TERMINAL_PHASES
from chaingraph_store.ledger import Ledger
from fixtures.flows import hostile
from fixtures.flows.chains import events_of
from fixtures.flows.hostile_flows import attack, honest
from fixtures.ledger.ledger import wait_for
from fixtures.ledger.new_executions import create_of
from fixtures.processes.programs import RunWorker
from fixtures.soak import examples, seeds

pytestmark = [pytest.mark.integration, pytest.mark.crash, pytest.mark.soak]


@pytest.mark.long
@pytest.mark.timeout(900)
@pytest.mark.parametrize("seed", seeds(20261130))
async def test_hostile_tenant_costs_honest_ones_nothing(
    ledger: Ledger, run_worker: RunWorker, tmp_path: Path, seed: int
) -> None:
    random_ = random.Random(seed)
    path = hostile.install(tmp_path / "nodes")
    limits = {"RUNNER_MEMORY_MB": "64", "RUNNER_SILENCE_SECONDS": "1", "RUNNER_CPU_SECONDS": "2", "LEASE_SECONDS": "4"}
    settings = {f"CHAINGRAPH_{name}": value for name, value in limits.items()}
    workers = [run_worker(PYTHONPATH=os.fspath(path), **settings) for _ in range(2)]
    good, evil = [], []
    for number in range(examples(16)):
        if number % 2:
            evil.append(await create_of(ledger, attack(random_), namespace="team-a", name=f"evil-{number}"))
        effects = tmp_path / f"effects-{number}"
        namespace = random_.choice(("team-b", "team-c"))
        flow = honest(random_, effects)
        good.append((await create_of(ledger, flow, namespace=namespace, name=f"good-{number}"), flow, effects))
    for execution, flow, effects in good:
        row = await wait_for(ledger, execution, lambda row: row.phase in TERMINAL_PHASES, within=600)
        assert (row.phase, row.recoveries, row.attempt, row.run) == ("Completed", 0, 1, 1), row.error_message
        ids = [node["id"] for node in flow["nodes"]]
        assert effects.read_text().split() == ids, "each node had its effect once"
        log = await events_of(ledger, execution)
        assert Counter(event.data["nodeId"] for event in log if event.type == "node:completed") == Counter(ids)
    for execution in evil:
        row = await wait_for(ledger, execution, lambda row: row.phase in TERMINAL_PHASES, within=600)
        assert row.phase in ("Failed", "Completed")
        assert row.recoveries == 0, "no worker was lost"
    assert [worker.process.poll() for worker in workers] == [None, None], "no worker ended"
    assert await asyncio.to_thread(workers[0].terminate) == 0
