"""A wide parent spawns while its worker and the operator are killed and frozen: each child once, whatever happens.

Rounds end in turn: the parent
is deleted once everything is spawned, it is deleted while it spawns, all its children run to their end. In every other
round the children have resources.
"""

from __future__ import annotations

import asyncio
import json
import random
from typing import Any

import pytest

from chaingraph_store.children.spawning import BATCH
from chaingraph_store.executions import ExecutionRow
from chaingraph_store.ids import ExecutionId
from chaingraph_store.ledger import Ledger
from fixtures import soak
from fixtures.cluster.user import User, execution
from fixtures.ledger.ledger import row_of, wait_for
from fixtures.processes.fleet import Fleet
from fixtures.trees.checks import active, assert_each_ran_once, assert_spawned_once, bound_children, live_workflows
from fixtures.trees.families import FAN_OUT
from fixtures.waiting import eventually

pytestmark = [pytest.mark.integration, pytest.mark.crash, pytest.mark.long]

WIDE = 1000
TO_THE_END = 250
"""Children of the rounds in which all of them run: two batches."""
WITHIN = 120


class Round:
    """One parent, from its apply to the end of its tree."""

    def __init__(self, user: User, ledger: Ledger, fleet: Fleet, seed: int) -> None:
        self._user = user
        self._ledger = ledger
        self._fleet = fleet
        self._chance = random.Random(seed)
        self._kind = ("deleted", "deleted early", "to the end")[seed % 3]
        self._name = f"wide-{seed}"
        self._size = TO_THE_END if self._kind == "to the end" else WIDE
        self._resources = "Create" if seed % 2 else "None"
        self._parent = ExecutionId("")
        self.struck: list[str] = []

    def __str__(self) -> str:
        return f"{self._name}, resources {self._resources}, {self._kind}: {', '.join(self.struck) or 'not struck yet'}"

    async def run(self) -> None:
        await self._apply()
        for made in sorted(self._chance.choices(range(0, self._size, BATCH), k=self._chance.randint(1, 3))):
            await self._reached(made)
            await asyncio.sleep(self._chance.uniform(0, 0.3))
            row = await row_of(self._ledger, self._parent)
            what = await asyncio.to_thread(self._fleet.strike, self._chance, row.worker)
            self.struck.append(f"{what} at {row.children_spawned}")
        if self._kind == "deleted early":
            await asyncio.to_thread(self._delete)
        await wait_for(self._ledger, self._parent, _all_spawned, within=WITHIN)
        await assert_spawned_once(self._ledger, self._parent, emitted=self._size)
        if self._kind == "to the end":
            await self._ends()
        else:
            await asyncio.to_thread(self._delete)
            await self._stopped()

    async def _apply(self) -> None:
        spec = {
            "flow": FAN_OUT,
            "inputs": {"items": list(range(self._size))},
            "children": {"resources": self._resources},
        }
        await asyncio.to_thread(self._user.apply, execution(self._name, **spec))
        status = await asyncio.to_thread(self._user.until, self._name, lambda status: "executionID" in status)
        self._parent = ExecutionId(status["executionID"])
        await wait_for(self._ledger, self._parent, lambda row: row.phase == "Completed", within=WITHIN)

    def _delete(self) -> None:
        self._user.kubectl("delete", "cgx", self._name, "--ignore-not-found")

    async def _reached(self, count: int) -> None:
        """Once so many are spawned."""
        await wait_for(self._ledger, self._parent, lambda row: row.children_spawned >= count, within=WITHIN)

    async def _ends(self) -> None:
        """All of its children run, whatever was killed while some of them did."""
        await wait_for(self._ledger, self._parent, lambda row: row.tree_ended, within=WITHIN)
        await assert_each_ran_once(self._ledger, self._parent)
        await asyncio.to_thread(self._user.wait, self._name, "TreeSucceeded", within=WITHIN)
        await eventually(self._shown_as_they_are, within=WITHIN, what="a resource for each child, as the ledger has it")
        await asyncio.to_thread(self._delete)
        await eventually(self._unshown, within=WITHIN, what="the end of the children's resources")

    async def _shown(self) -> list[dict[str, Any]]:
        """The resources of its children."""
        found = await asyncio.to_thread(
            self._user.kubectl, "get", "cgx", "-o", "json", "-l", f"chaingraph.dev/parent-id={self._parent}"
        )
        items: list[dict[str, Any]] = json.loads(found.stdout)["items"]
        return items

    async def _shown_as_they_are(self) -> bool:
        shown = await self._shown()
        bound = await bound_children(self._ledger, self._parent)
        says = {
            each["metadata"]["name"]: (each["metadata"]["uid"], each.get("status", {}).get("phase")) for each in shown
        }
        return says == {name: (uid, phase) for name, uid, phase in bound} and (
            len(shown) == (self._size if self._resources == "Create" else 0)
        )

    async def _unshown(self) -> bool:
        return not await self._shown()

    async def _stopped(self) -> None:
        """Everything below has ended, and stays so."""

        async def nothing_runs() -> bool:
            return not await active(self._ledger, self._parent) and not await live_workflows(self._ledger, self._parent)

        await eventually(nothing_runs, within=WITHIN, what=f"the end of everything below {self._name}")
        children = await assert_spawned_once(self._ledger, self._parent, emitted=self._size)
        await asyncio.sleep(0.5)
        assert await nothing_runs()
        await eventually(self._unshown, within=WITHIN, what="the end of the children's resources")
        assert await assert_spawned_once(self._ledger, self._parent, emitted=self._size) == children


def _all_spawned(row: ExecutionRow) -> bool:
    return row.children_spawned + row.children_suppressed == row.children_total


@pytest.mark.soak
@pytest.mark.timeout(soak.examples(480))
async def test_each_child_is_spawned_once_despite_kills(user: User, fleet: Fleet, ledger: Ledger) -> None:
    for seed in (s + n for s in soak.seeds(0) for n in range(soak.examples(3))):
        current = Round(user, ledger, fleet, seed)
        try:
            await current.run()
        finally:
            print(current)
        assert fleet.errors == []
