"""Random trees: ends with emissions, batches, stops, deletions, retries and settling in any order. After each step what
must hold of every tree does, and once everything owed is settled the counts say exactly which trees have ended.

Beside the ledger there is a model, which knows no counts: what each execution emitted, how it ended and how often, and
what was barred.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, precondition, rule

from chaingraph_store.children import completion, spawning
from chaingraph_store.ids import ExecutionId, child_execution_id
from fixtures.ledger.machine import LedgerMachine, run_machine
from fixtures.ledger.moves import hand_back, retry
from fixtures.ledger.new_executions import APP, create
from fixtures.trees.children import complete, items, make_batch
from fixtures.trees.forest import ENDED, fail, forest, settle, settle_all, stop_tree

pytestmark = pytest.mark.integration
TREES = st.lists(st.tuples(st.integers(1, 3), st.integers(0, 2)), min_size=1, max_size=4)
LARGEST = 60
"""Executions of a tree, from which on nothing emits any more."""


@dataclass
class Node:
    """An execution, as far as it is decided by what was done to it."""

    id: ExecutionId
    parent: Node | None = None
    phase: str = "Pending"
    attempt: int = 1
    continues: bool = False
    """Stops from above go past its children."""
    emitted: int = 0
    barred: int = 0
    children: list[Node] = field(default_factory=list)

    @property
    def unmade(self) -> int:
        return self.emitted - self.barred - len(self.children)

    @property
    def at_rest(self) -> bool:
        return self.phase in ENDED and not self.unmade and all(child.at_rest for child in self.children)

    def below(self) -> list[Node]:
        return [self, *(each for child in self.children for each in child.below())]

    def complete(self, emitted: int) -> None:
        self.phase, self.emitted = "Completed", emitted

    def spawn(self, count: int) -> list[Node]:
        first = len(self.children)
        ids = [child_execution_id(self.id, first + number) for number in range(count)]
        made = [Node(each, self, continues=self.continues) for each in ids]
        self.children += made
        return made

    def stop(self, *, children: bool, deleted: bool) -> bool:
        """Stops what is there. Whether that is anything."""
        active = self.phase not in ENDED
        anything = active or (children and self.unmade > 0)
        if active:
            self.phase = "Stopped"
        if children:
            self.barred += self.unmade
            for child in self.children:
                anything |= child.stop(children=deleted or not child.continues, deleted=deleted)
        return anything


class Machine(LedgerMachine):
    @initialize(generations=TREES)
    def begin(self, generations: list[tuple[int, int]]) -> None:
        """A tree that has so many children made and so many not made yet in each generation."""
        self.root = Node(self.do(create(self.ledger)).id)
        self.retries = 0
        self.spawners: list[tuple[Node, spawning.Parent]] = []
        for made, unmade in generations:
            last = [each for each in self.root.below() if each.phase == "Pending"][-1]
            self.emit(last, made + unmade)
            self.make(last, made)

    def teardown(self) -> None:
        if hasattr(self, "root"):
            self.do(stop_tree(self.ledger, self.root.id, deleted=True))
            self.do(settle_all(self.ledger))

    @precondition(lambda self: self.root.at_rest)
    @rule(generations=TREES)
    def another_begins(self, generations: list[tuple[int, int]]) -> None:
        self.teardown()
        self.begin(generations)

    def some(self, data: st.DataObject, *phases: str) -> Node:
        """One in these phases, or one below which something is left to do, or any."""
        nodes = self.root.below()
        if phases:
            nodes = [each for each in nodes if each.phase in phases]
        elif not self.root.at_rest and data.draw(st.integers(0, 3)):
            nodes = [each for each in nodes if not each.at_rest]
        return data.draw(st.sampled_from(nodes))

    def has(self, *phases: str) -> bool:
        return any(each.phase in phases for each in self.root.below())

    # -- ends and batches ------------------------------------------------------------------------------------------

    @precondition(lambda self: self.has("Pending"))
    @rule(data=st.data(), emitted=st.integers(0, 4), at_once=st.booleans())
    def completes(self, data: st.DataObject, emitted: int, at_once: bool) -> None:
        node = self.some(data, "Pending")
        self.emit(node, emitted if len(self.root.below()) < LARGEST else 0)
        if at_once:
            self.make(node, node.unmade)

    def emit(self, node: Node, emitted: int) -> None:
        self.do(complete(self.ledger, node.id, children=emitted))
        node.complete(emitted)

    @precondition(lambda self: self.has("Pending"))
    @rule(data=st.data())
    def fails(self, data: st.DataObject) -> None:
        node = self.some(data, "Pending")
        self.do(fail(self.ledger, node.id))
        node.phase = "Failed"

    @precondition(lambda self: not self.root.at_rest)
    @rule(failing=st.booleans(), settled=st.booleans())
    def everything_ends(self, failing: bool, settled: bool) -> None:
        """So that whole trees end, and are opened again by retries."""
        for node in self.root.below():
            self.make(node, node.unmade)
        for node in self.root.below():
            if node.phase == "Pending" and failing:
                self.do(fail(self.ledger, node.id))
                node.phase = "Failed"
            elif node.phase == "Pending":
                self.emit(node, 0)
        assert self.root.at_rest
        if settled:
            self.all_that_is_owed_is_settled()

    @precondition(lambda self: any(each.unmade for each in self.root.below()))
    @rule(data=st.data(), count=st.integers(1, 4), spawners=st.integers(1, 2))
    def spawns(self, data: st.DataObject, count: int, spawners: int) -> None:
        node = data.draw(st.sampled_from([each for each in self.root.below() if each.unmade]))
        self.make(node, min(count, node.unmade), spawners)

    def make(self, node: Node, count: int, spawners: int = 1) -> None:
        """A batch, by so many workers at once, of which one makes it."""
        if not count:
            return

        async def batch(parent: spawning.Parent) -> spawning.Batch | None:
            following = items(node.emitted)[parent.made :][:count]
            return await make_batch(self.ledger, parent, following)

        async def batches() -> list[spawning.Batch | None]:
            parent = await self.left_to_spawn(node)
            assert parent is not None
            return await asyncio.gather(*(batch(parent) for _ in range(spawners)))

        made = [each.made for each in self.do(batches()) if each is not None]
        assert made == [count]
        node.spawn(count)
        left = self.do(self.left_to_spawn(node))
        assert (left is not None) == (node.unmade > 0)

    async def left_to_spawn(self, node: Node) -> spawning.Parent | None:
        async with self.ledger.connection() as connection:
            parent = await spawning.parent(connection, node.id)
        if parent is not None:
            assert (parent.made, parent.total) == (len(node.children), node.emitted)
            self.spawners.append((node, parent))
        return parent

    @precondition(lambda self: self.spawners)
    @rule(data=st.data())
    def a_spawner_is_late(self, data: st.DataObject) -> None:
        """It read the parent before others made its batch, or a stop barred it."""
        node, parent = data.draw(st.sampled_from(self.spawners))
        if parent.made == len(node.children) and not node.barred:
            return
        late = make_batch(self.ledger, parent, items(1))
        assert self.do(late) is None

    @precondition(lambda self: any(each.unmade for each in self.root.below()))
    @rule()
    def the_worker_is_lost(self) -> None:
        """Whatever has still to spawn is in the queue again."""
        self.do(hand_back(self.ledger, "worker-1"))
        found = self.do(forest(self.ledger, self.root.id))
        for node in self.root.below():
            assert found.queued(found.members[node.id]) or not node.unmade

    # -- commands --------------------------------------------------------------------------------------------------

    @rule(data=st.data(), children=st.booleans(), deleted=st.sampled_from([False, False, True]))
    def is_stopped(self, data: st.DataObject, children: bool, deleted: bool) -> None:
        node = self.some(data)
        stopped = self.do(stop_tree(self.ledger, node.id, children=children, deleted=deleted))
        anything = node.stop(children=children or deleted, deleted=deleted)
        assert stopped or not anything, "True also when it is only recorded that its tree was stopped"

    @precondition(lambda self: self.has("Failed", "Stopped"))
    @rule(data=st.data())
    def is_retried(self, data: st.DataObject) -> None:
        node = self.some(data, "Failed", "Stopped")
        self.retries += 1
        assert self.do(retry(self.ledger, node.id, f"retry {self.retries}")) is True
        node.phase, node.attempt = "Pending", node.attempt + 1

    @precondition(lambda self: not self.root.at_rest)
    @rule(data=st.data())
    def its_children_are_to_go_on(self, data: st.DataObject) -> None:
        node = self.some(data)
        node.continues = not node.continues

        async def written() -> None:
            async with self.ledger.connection() as connection:
                await connection.execute(
                    "UPDATE chaingraph.executions SET on_stop = %s WHERE id = %s",
                    ("Continue" if node.continues else "Stop", node.id),
                )

        self.do(written())

    # -- settling --------------------------------------------------------------------------------------------------

    @rule(data=st.data(), how=st.sampled_from(["one", "upwards", "all"]))
    def is_settled(self, data: st.DataObject, how: str) -> None:
        match how:
            case "one":
                node = self.some(data)
                above = self.do(settle(self.ledger, node.id))
                assert above is None or (node.parent is not None and above == node.parent.id)
            case "upwards":
                self.do(completion.settle_upwards(self.ledger, self.some(data).id, application_name=APP))
            case "all":
                self.all_that_is_owed_is_settled()

    def all_that_is_owed_is_settled(self) -> None:
        self.do(settle_all(self.ledger))
        found = self.do(forest(self.ledger, self.root.id))
        found.check_settled()
        for node in self.root.below():
            assert found.members[node.id].tree_ended == node.at_rest
        assert self.do(settle_all(self.ledger)) == 0

    # -- what holds after every rule -------------------------------------------------------------------------------

    @invariant()
    def the_ledger_is_as_the_model_says(self) -> None:
        if not hasattr(self, "root"):
            return
        found = self.do(forest(self.ledger, self.root.id))
        found.check()
        nodes = {node.id: node for node in self.root.below()}
        assert set(found.members) == set(nodes)
        for id_, node in nodes.items():
            member = found.members[id_]
            assert (member.phase, member.attempt) == (node.phase, node.attempt)
            assert (member.total, member.spawned, member.barred) == (node.emitted, len(node.children), node.barred)
            assert member.parent == (node.parent.id if node.parent else None)


@pytest.mark.soak
def test_tree_invariants_hold_after_any_sequence(database_url: str) -> None:
    run_machine(Machine, database_url, examples=40)
