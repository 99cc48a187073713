"""One tree of several generations to its end: how long, how fast, and what it costs operator, API server, PostgreSQL.

The root and each generation below it emit an event for each of `--wide` items; 30 wide and 3 deep makes 27,931
executions. The tree has ended when the ledger says so, and is shown when every resource that there is to be says
Completed and the root says TreeSucceeded.
"""

from __future__ import annotations

import asyncio
import re
import sys
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg

from bench.cluster import EXECUTIONS, BenchCluster, bench_cluster
from bench.results import Figure, arguments, report
from chaingraph_cli.cluster.state import StateFolder
from chaingraph_store import ids

_STANDING = """
SELECT count(*), count(*) FILTER (WHERE phase IN ('Completed', 'Failed', 'Stopped')),
       count(*) FILTER (WHERE phase IN ('Failed', 'Stopped')), count(uid),
       bool_or(parent_id IS NULL AND phase = 'Completed' AND children_active = 0)
FROM chaingraph.executions WHERE root_id = %s
"""
_WRITES = re.compile(r"^apiserver_request_total\{(?P<labels>.*)\} (?P<count>\S+)$", re.MULTILINE)
_LABEL = re.compile(r'(\w+)="([^"]*)"')
_EVERY = 2.0


def tree(levels: int) -> dict[str, Any]:
    """A flow's spec with so many generations below its root."""
    nodes: list[dict[str, Any]] = []
    edges: list[dict[str, Any]] = []
    for level in range(levels + 1):
        if level:
            nodes.append({"id": f"at{level}", "type": "EventListener", "inputs": {"eventName": f"level{level}"}})
        if level < levels:
            emitter = f"emit{level + 1}"
            nodes.append({"id": emitter, "type": "EmitEach", "inputs": {"eventName": f"level{level + 1}"}})
            edges.append({"from": "inputs.items", "to": f"{emitter}.items"})
            if level:
                edges.append({"from": f"at{level}.__success", "to": f"{emitter}.__execute"})
    return {"inputs": [{"name": "items", "type": "array", "required": True}], "nodes": nodes, "edges": edges}


@dataclass(frozen=True)
class Standing:
    """How far a tree is. `shown` have a resource."""

    made: int
    ended: int
    failed: int
    shown: int
    over: bool


class Bench:
    """One tree in one cluster."""

    def __init__(self, cluster: BenchCluster, ledger: psycopg.AsyncConnection[Any]) -> None:
        self._cluster = cluster
        self._ledger = ledger
        self._began = 0.0
        self._root = ""

    async def apply(self, wide: int, levels: int, resources: str) -> None:
        await self._cluster.apply_flow("tree", tree(levels))
        spec = {
            "flowRef": {"name": "tree"},
            "inputs": {"items": list(range(wide))},
            "children": {"resources": resources},
        }
        self._began = time.monotonic()
        made = await self._cluster.create_execution("root", spec)
        self._root = ids.execution_id(made["metadata"]["uid"])

    async def _standing(self) -> Standing:
        row: Any = await (await self._ledger.execute(_STANDING, (self._root,))).fetchone()
        return Standing(row[0], row[1], row[2], row[3], bool(row[4]))

    async def ended(self, size: int) -> float:
        """Seconds until the whole tree has ended."""
        while not (now := await self._standing()).over:
            self._say(f"{now.made:,} made, {now.ended:,} ended, {now.shown:,} shown, of {size:,}")
            await asyncio.sleep(_EVERY)
        took = time.monotonic() - self._began
        if (now.made, now.ended, now.failed) != (size, size, 0):
            raise SystemExit(f"bench: the tree has ended with {now}, and was to have {size} executions")
        return took

    async def shown(self, count: int) -> float:
        """Seconds until so many resources say that they have completed, and the root that its tree has."""
        while (done := await self._cluster.completed()) < count or not await self._succeeded():
            self._say(f"{done:,} of {count:,} resources say Completed")
            await asyncio.sleep(_EVERY)
        return time.monotonic() - self._began

    async def _succeeded(self) -> bool:
        answer = await self._cluster.api.get(f"{EXECUTIONS}/root")
        answer.raise_for_status()
        conditions = answer.json()["status"].get("conditions", ())
        return any((each["type"], each["status"]) == ("TreeSucceeded", "True") for each in conditions)

    def _say(self, what: str) -> None:
        print(
            f"{time.monotonic() - self._began:6.0f} s  {what}; operator {_megabytes(self.operator()):.0f} MB",
            file=sys.stderr,
            flush=True,
        )

    def operator(self) -> int:
        """The operator's process id."""
        state = StateFolder.at(self._cluster.logs.parent).load()
        for each in state.processes if state else ():
            if each.spec.name == "operator" and each.identity is not None:
                return each.identity.pid
        raise SystemExit("bench: the operator does not run; look at its log")

    async def writes(self) -> Counter[str]:
        """What was written to the API server about executions, and Events, by verb and resource, by anybody."""
        answer = await self._cluster.api.get("/metrics")
        answer.raise_for_status()
        counts: Counter[str] = Counter()
        for found in _WRITES.finditer(answer.text):
            labels = dict(_LABEL.findall(found["labels"]))
            if labels["verb"] not in ("GET", "LIST", "WATCH") and labels["resource"] in ("executions", "events"):
                what = "/".join(part for part in (labels["resource"], labels["subresource"]) if part)
                counts[f"{labels['verb'].lower()} {what}"] += int(float(found["count"]))
        return counts

    async def database_bytes(self) -> int:
        row: Any = await (await self._ledger.execute("SELECT pg_database_size(current_database())")).fetchone()
        return int(row[0])


def _megabytes(process: int) -> float:
    """The most memory that a process had at once."""
    status = Path(f"/proc/{process}/status").read_text(encoding="ascii")
    found = re.search(r"VmHWM:\s+(\d+) kB", status)
    if found is None:
        raise RuntimeError(f"/proc/{process}/status says nothing of VmHWM: this bench needs Linux")
    return int(found[1]) / 1024


async def main() -> None:
    parser = arguments(__doc__ or "")
    parser.add_argument("--wide", type=int, default=30, help="children of each (default 30)")
    parser.add_argument("--levels", type=int, default=3, help="generations below the root (default 3)")
    parser.add_argument("--workers", type=int, default=1, help="worker processes (default 1)")
    parser.add_argument("--resources", choices=("Create", "None"), default="Create", help="spec.children.resources")
    options = parser.parse_args()
    size = sum(options.wide**level for level in range(options.levels + 1))
    async with (
        bench_cluster(workers=options.workers, CHAINGRAPH_MAX_TREE=str(max(size, 100_000))) as cluster,
        await psycopg.AsyncConnection.connect(cluster.database_url, autocommit=True) as ledger,
    ):
        bench = Bench(cluster, ledger)
        before, bytes_before = await bench.writes(), await bench.database_bytes()
        await bench.apply(options.wide, options.levels, options.resources)
        ended = await bench.ended(size)
        shown = await bench.shown(size if options.resources == "Create" else 1)
        written, bytes_after = await bench.writes() - before, await bench.database_bytes()
        memory = _megabytes(bench.operator())
    figures = [
        Figure.of("executions", "", [size]),
        Figure.of("tree_ended", "s", [ended]),
        Figure.of("tree_shown", "s", [shown]),
        Figure.of("executions_a_second", "1/s", [size / ended]),
        Figure.of("operator_memory", "MB, most", [memory]),
        Figure.of("database_growth", "MB", [(bytes_after - bytes_before) / 1e6]),
    ]
    figures += [Figure.of(what, "writes", [count]) for what, count in sorted(written.items())]
    report(figures, options.output)


if __name__ == "__main__":
    asyncio.run(main())
