"""Which finished nodes a retry keeps, and which run again: from a chosen node, or with another revision of the flow.

A node that runs again takes everything with it that depends on it. So a kept node has the same definition and the same
values as in a run from the beginning. Pure. Of the node types it reads which ones are listeners and approvals, and that
for the flow that runs next alone: no worker may have the types of an earlier revision any more.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

from chaingraph_crds.flow import INPUTS_NODE_ID, FlowSpec, NodeSpec
from chaingraph_crds.node_paths import SUBFLOW
from chaingraph_flow.catalogue import ERROR_PORTS, Catalogue
from chaingraph_flow.engine.binding import bound_to, reach
from chaingraph_flow.engine.records import WAITING, Outcome
from chaingraph_flow.ports.endpoint import Endpoint, parse_endpoint
from chaingraph_flow.revision import canonical, content

_READ: Final = frozenset(("description", "inputs", "outputs", "nodes", "edges", "subflows"))
"""The parts of a flow that this module compares node by node."""


@dataclass(frozen=True)
class FlowVersion:
    """A revision of a flow in an execution.

    Attributes:
        inputs: the values of the flow's inputs.
        catalogue: the node types. An unknown type counts as no listener and no approval.
    """

    spec: FlowSpec
    inputs: Mapping[str, Any]
    catalogue: Catalogue

    @cached_property
    def nodes(self) -> dict[str, NodeSpec]:
        """The nodes by id, in the order of the flow."""
        return {node.id: node for node in self.spec.nodes}

    @cached_property
    def input_types(self) -> dict[str, str]:
        """The types of the flow's inputs."""
        return {each.name: each.type for each in self.spec.inputs}

    @cached_property
    def edges(self) -> list[tuple[Endpoint, Endpoint]]:
        """The edges, from and to."""
        ends = ((parse_endpoint(edge.from_), parse_endpoint(edge.to)) for edge in self.spec.edges)
        return [(start, end) for start, end in ends if start is not None and end is not None]

    @cached_property
    def incoming(self) -> dict[str, list[tuple[Endpoint, Endpoint]]]:
        """The edges into each node."""
        found: dict[str, list[tuple[Endpoint, Endpoint]]] = {id_: [] for id_ in self.nodes}
        for start, end in self.edges:
            found[end.node].append((start, end))
        return found

    @cached_property
    def targets(self) -> dict[str, list[str]]:
        """The nodes that depend on each node directly."""
        found: dict[str, list[str]] = {id_: [] for id_ in self.nodes}
        for start, end in self.edges:
            if start.node != INPUTS_NODE_ID:
                found[start.node].append(end.node)
        return found

    def dependent(self, ids: Iterable[str]) -> set[str]:
        """Return these nodes and all that depend on them."""
        return reach(ids, self.targets.__getitem__)

    def sources(self, id_: str) -> list[str]:
        """Return the nodes that feed a node directly."""
        return [start.node for start, _ in self.incoming[id_] if start.node != INPUTS_NODE_ID]

    @cached_property
    def approvals(self) -> set[str]:
        """The nodes that ask a person for an approval, or call a subflow with one."""
        asking = {each.name for each in self.spec.subflows if any(map(self._asks, each.nodes))}
        return {
            id_ for id_, node in self.nodes.items() if self._asks(node) or not asking.isdisjoint(self._called(node))
        }

    def _asks(self, node: NodeSpec) -> bool:
        type_ = self.catalogue.get(node.type)
        return type_ is not None and type_.approval

    def active(self, events: Collection[str] | None) -> frozenset[str]:
        """Return the nodes that take part in a run; see `binding`."""
        listeners: dict[str, list[str]] = {}
        for node in self.nodes.values():
            type_ = self.catalogue.get(node.type)
            if type_ is not None and type_.listens_to is not None:
                port = type_.input(type_.listens_to)
                given = node.inputs.get(type_.listens_to)
                name = port.default if given is None and port is not None else given
                listeners.setdefault(str(name or ""), []).append(node.id)
        return bound_to(
            events,
            self.nodes.keys(),
            listeners,
            targets=self.targets.__getitem__,
            sources=self.sources,
        )

    def handled(self, active: Collection[str]) -> set[str]:
        """Return the nodes whose failure the flow handles; see `records.handles_failure`."""
        by_edge = {start.node for start, end in self.edges if start.port in ERROR_PORTS and end.node in active}
        ends = (parse_endpoint(output.from_) for output in self.spec.outputs)
        return by_edge | {end.node for end in ends if end is not None and end.port in ERROR_PORTS}

    def definition(self, id_: str, outcome: str | None) -> bytes:
        """Return everything in the flow that decides how a node ends, except the ends of the nodes that feed it.

        Args:
            outcome: how it ended. The timeout and the tries matter to a failure alone.
        """
        node = self.nodes[id_]
        sources: list[Any] = []
        for start, end in self.incoming[id_]:
            ends = [start.node, start.port, start.segments, end.port, end.segments]
            given = (
                [self.input_types.get(start.port), self.inputs.get(start.port)] if start.node == INPUTS_NODE_ID else []
            )
            sources.append([ends, given])
        retry = node.retry.model_dump(mode="json") if node.retry is not None else None
        tries = [node.timeout_seconds, retry] if outcome == Outcome.FAILED else []
        fields = {"type": node.type, "inputs": node.inputs, "sources": sources, "tries": tries}
        return canonical({**fields, "calls": [[name, self._digests[name]] for name in self._called(node)]})

    @cached_property
    def _digests(self) -> dict[str, str]:
        """The hash of each subflow's content."""
        dumped = (
            (each.name, each.model_dump(mode="json", by_alias=True, exclude_defaults=True))
            for each in self.spec.subflows
        )
        return {name: hashlib.sha256(canonical(each)).hexdigest() for name, each in dumped}

    @cached_property
    def _reached(self) -> dict[str, list[str]]:
        """The subflows that each subflow calls, and that these call, with itself."""
        names = {each.name for each in self.spec.subflows}
        calls: dict[str, list[str]] = {
            each.name: [to for node in each.nodes if isinstance(to := node.inputs.get(SUBFLOW), str) and to in names]
            for each in self.spec.subflows
        }
        return {name: sorted(reach([name], calls.__getitem__)) for name in calls}

    def _called(self, node: NodeSpec) -> list[str]:
        """Return the names of the subflows that a node calls, and that these call."""
        name = node.inputs.get(SUBFLOW)
        return self._reached.get(name, []) if isinstance(name, str) else []

    @property
    def rest(self) -> bytes:
        """Everything of the flow that may decide how any node ends, and that `definition` does not know."""
        return canonical({name: value for name, value in content(self.spec).items() if name not in _READ})


@dataclass(frozen=True, slots=True)
class Rerun:
    """What becomes of a journal. Nodes are in the order of the flow.

    Attributes:
        kept: the finished nodes that keep their ends.
        again: the finished nodes that run again, those included whose failure ended the attempt.
        removed: the finished nodes that take part no more.
        dropped: the entries of the journal that are not kept.
    """

    kept: tuple[str, ...]
    again: tuple[str, ...]
    removed: tuple[str, ...]
    dropped: tuple[str, ...]


def rerun(
    journal: Mapping[str, str],
    *,
    former: FlowVersion,
    flow: FlowVersion,
    events: Collection[str] | None,
    node: str = "",
) -> Rerun:
    """Decide about the journal of an ended attempt.

    Args:
        journal: the outcome of each entry. An entry inside a node, as `pages[12].fetch`, belongs to that node.
        former: what the attempt ran.
        flow: what the next attempt runs; may be the same.
        events: the names of the events that started the execution; None for a start without any.
        node: the node to run again; '' for none.
    """
    active = flow.active(events)
    invalid = _invalid(changed(former, flow, journal), flow, journal, node)
    handled = flow.handled(active)
    failed = {id_ for id_, outcome in journal.items() if outcome == Outcome.FAILED and id_ not in handled}
    lost = flow.dependent(failed & active) | invalid

    def keeps(entry: str, outcome: str) -> bool:
        top = owner(entry)
        if outcome == WAITING or top not in active:
            return False
        # What a failed node has finished inside itself stays valid.
        return top not in (invalid if entry != top and top in failed else lost)

    kept = {entry for entry, outcome in journal.items() if keeps(entry, outcome)}
    undone = {owner(entry) for entry, outcome in journal.items() if outcome != WAITING and entry not in kept}
    return Rerun(
        kept=tuple(id_ for id_ in flow.nodes if id_ in kept),
        again=tuple(id_ for id_ in flow.nodes if id_ in undone & active),
        removed=tuple(id_ for id_ in former.nodes if id_ in undone - active),
        dropped=tuple(entry for entry in journal if entry not in kept),
    )


def _invalid(differing: set[str], flow: FlowVersion, journal: Mapping[str, str], node: str) -> set[str]:
    """Return the nodes whose ends are not valid any more: the chosen and the changed ones, and all that depend on them.

    An approval is for the nodes that depend on it, as they were, and for one run of them. It is asked for again if a
    completed one of them runs again, or if one has changed.
    """
    invalid = flow.dependent({*differing, *([node] if node else ())})
    while True:
        repeated = {id_ for id_ in invalid if journal.get(id_) == Outcome.COMPLETED}
        asked = flow.approvals & reach(differing | repeated, flow.sources)
        if asked <= invalid:
            return invalid
        invalid |= flow.dependent(asked)


def changed(former: FlowVersion, flow: FlowVersion, journal: Mapping[str, str]) -> set[str]:
    """Return the nodes of a flow that are new, or that another revision defines differently."""
    if former is flow:
        return set()
    if former.rest != flow.rest:
        return set(flow.nodes)
    return {
        id_
        for id_ in flow.nodes
        if id_ not in former.nodes or former.definition(id_, journal.get(id_)) != flow.definition(id_, journal.get(id_))
    }


def owner(entry: str) -> str:
    """Return the node of the flow that an entry of the journal belongs to."""
    return entry.partition("[")[0].partition(".")[0]
