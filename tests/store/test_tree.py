"""Pages of trees and of roots: whatever the shape and the size of the pages, all of it comes, once and in order."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chaingraph_store.ids import ExecutionId, child_execution_id, execution_id
from chaingraph_store.ledger import Ledger
from chaingraph_store.reads import tree
from chaingraph_store.reads.tree import RootCursor, TreeCursor, TreeRow
from fixtures import soak

pytestmark = pytest.mark.integration

PHASES = ("Pending", "Running", "Completed", "Failed", "Stopped")


@dataclass
class Node:
    """An execution that is to be in the ledger."""

    id: ExecutionId
    depth: int
    phase: str
    parent: Node | None = None
    position: int = 0
    children: list[Node] = field(default_factory=list)
    unmade: int = 0
    barred: int = 0

    def below(self) -> list[Node]:
        """Itself and all below it, parents before their children."""
        return [self, *(each for child in self.children for each in child.below())]


def planted(seed: int, *, most: int) -> Node:
    """A tree of at most so many executions: some levels wide, some narrow."""
    choice = random.Random(seed)
    root = Node(execution_id(f"root/{seed}"), 0, "Completed")
    left, level = choice.randint(0, most), [root]
    while left > 0 and level:
        following: list[Node] = []
        width = choice.choice((1, 2, 5, 20))
        for parent in level:
            for position in range(min(left, choice.randint(1, width) if not following else choice.randint(0, width))):
                id_ = child_execution_id(parent.id, position)
                child = Node(id_, parent.depth + 1, choice.choice(PHASES), parent, position)
                parent.children.append(child)
                following.append(child)
                left -= 1
            parent.unmade, parent.barred = choice.choice(((0, 0), (0, 0), (3, 0), (0, 2)))
        level = following
    return root


async def write(ledger: Ledger, root: Node, *, namespace: str = "team") -> None:
    async with ledger.transaction() as connection:
        await connection.execute(
            "INSERT INTO chaingraph.flow_revisions (revision, spec) VALUES ('0123456789abcdef', '{}')"
            " ON CONFLICT DO NOTHING"
        )
        for each in root.below():
            made = len(each.children)
            await connection.execute(
                "INSERT INTO chaingraph.executions (id, namespace, name, flow_name, flow_revision, queue, parent_id,"
                " root_id, depth, position, phase, workflow_id, children_total, children_spawned, children_suppressed)"
                " VALUES (%s, %s, %s, 'report', '0123456789abcdef', 'q', %s, %s, %s, %s, %s, %s, %s, %s, %s)",
                (
                    each.id,
                    namespace,
                    each.id.lower(),
                    each.parent.id if each.parent else None,
                    root.id,
                    each.depth,
                    each.position if each.parent else None,
                    each.phase,
                    each.id,
                    made + each.unmade + each.barred,
                    made,
                    each.barred,
                ),
            )


async def walk(
    ledger: Ledger, head: Node, *, limit: int, levels: int | None = None, phases: Sequence[str] | None = None
) -> list[TreeRow]:
    """All rows, page after page."""
    found: list[TreeRow] = []
    after = None
    async with ledger.connection() as connection:
        while True:
            page = await tree.below(connection, head.id, levels=levels, phases=phases, after=after, limit=limit)
            assert len(page) <= limit
            found += page
            if len(page) < limit:
                return found
            after = TreeCursor.of(page[-1], head=head.id)


def in_order(head: Node) -> list[Node]:
    """Level by level; the children of one parent together, by position."""

    def key(each: Node) -> tuple[int, str, int]:
        return each.depth, each.parent.id if each.parent and each is not head else "", each.position

    return sorted(head.below(), key=key)


@pytest.mark.soak
@settings(max_examples=soak.examples(40), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
async def test_tree_pages_list_every_execution_once_in_order(ledger: Ledger, data: st.DataObject) -> None:
    root = planted(data.draw(st.integers(0, 2**30)), most=120)
    head = data.draw(st.sampled_from(root.below()))
    limit = data.draw(st.sampled_from((1, 2, 3, 7, 50, 1000)))
    levels = data.draw(st.sampled_from((None, None, 0, 1, 2)))
    phases = data.draw(st.sampled_from((None, None, ("Failed",), ("Completed", "Running"))))
    async with ledger.transaction() as connection:
        await connection.execute("DELETE FROM chaingraph.executions")
    await write(ledger, root)
    expected = [
        each
        for each in in_order(head)
        if (levels is None or each.depth <= head.depth + levels) and (phases is None or each.phase in phases)
    ]
    rows = await walk(ledger, head, limit=limit, levels=levels, phases=phases)
    assert [each.id for each in rows] == [each.id for each in expected]
    for row, node in zip(rows, expected, strict=True):
        assert (row.children or {}) == Counter(child.phase for child in node.children)
        assert (row.children_unspawned, row.children_suppressed) == (node.unmade, node.barred)


async def test_tree_pages_lose_nothing_to_spawns_between_them(ledger: Ledger) -> None:
    root = planted(24, most=100)
    await write(ledger, root)
    before = {each.id for each in root.below()}
    seen: list[ExecutionId] = []
    after, spawned = None, 0
    async with ledger.connection() as connection:
        while True:
            page = await tree.below(connection, root.id, after=after, limit=5)
            seen += [each.id for each in page]
            if len(page) < 5:
                break
            after = TreeCursor.of(page[-1], head=root.id)
            parent = root.below()[spawned]
            await connection.execute(
                "WITH parent AS (UPDATE chaingraph.executions SET children_total = children_total + 1,"
                " children_spawned = children_spawned + 1 WHERE id = %(parent)s RETURNING *)"
                " INSERT INTO chaingraph.executions (id, namespace, name, flow_revision, queue, parent_id, root_id,"
                " depth, position, phase, workflow_id) SELECT %(id)s, namespace, '', flow_revision, queue, id, root_id,"
                " depth + 1, children_spawned - 1, 'Pending', %(id)s FROM parent",
                {"parent": parent.id, "id": execution_id(f"late/{spawned}")},
            )
            spawned += 1
    assert spawned > 10
    assert before <= set(seen)
    assert len(seen) == len(set(seen))


async def test_root_pages_include_descendant_counts(ledger: Ledger) -> None:
    roots = [planted(seed, most=40) for seed in range(7)]
    for each in roots:
        await write(ledger, each)
    await write(ledger, planted(100, most=5), namespace="elsewhere")
    found: list[tree.RootRow] = []
    after = None
    async with ledger.connection() as connection:
        while True:
            page = await tree.roots(connection, namespace="team", after=after, limit=2)
            found += page
            if len(page) < 2:
                break
            after = RootCursor.of(page[-1])
        assert len(await tree.roots(connection)) == len(roots) + 1
        assert await tree.roots(connection, flow="another") == []
    assert [each.id for each in found] == [each.id for each in reversed(roots)]
    for row, node in zip(found, reversed(roots), strict=True):
        below = node.below()
        assert (row.below or {}) == Counter(each.phase for each in below[1:])
        unmade, barred = sum(each.unmade for each in below), sum(each.barred for each in below)
        assert (row.below_unspawned, row.below_suppressed) == (unmade, barred)
        assert row.below_total == len(below) - 1 + unmade + barred


async def test_tree_of_unknown_execution_is_empty(ledger: Ledger) -> None:
    async with ledger.connection() as connection:
        assert await tree.below(connection, execution_id("never made")) == []
