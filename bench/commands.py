"""How long each verb of `kubectl chaingraph` takes, as a person types it, from the Enter key to the prompt.

On an execution that runs one long node, one command at a time and nothing else; beside them a bare `kubectl get`.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import tempfile
import time
from pathlib import Path

from bench.cluster import BenchCluster, bench_cluster, sleeps
from bench.results import Figure, arguments, report

FLOW = sleeps(1000, 1900)
"""At work for half an hour: nodes `n0`, `n1`, …"""
_SCRIPTS = Path(sys.executable).parent


class Person:
    """Somebody at a terminal; keeps how long each command took, in milliseconds."""

    def __init__(self, cluster: BenchCluster, folder: Path) -> None:
        self.times: dict[str, list[float]] = {}
        self._environment = os.environ | {
            "KUBECONFIG": str(cluster.logs.parent / "kubeconfig"),
            "PATH": f"{_SCRIPTS}{os.pathsep}{os.environ['PATH']}",
        }
        self.flow = folder / "flow.json"
        self.flow.write_text(json.dumps(FLOW), encoding="utf-8")

    async def types(self, *command: str, figure: str = "") -> None:
        """Runs a command, which must end well; its time counts when it has a name."""
        began = time.perf_counter()
        process = await asyncio.create_subprocess_exec(
            *command, env=self._environment, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
        )
        said, _ = await process.communicate()
        took = (time.perf_counter() - began) * 1000
        if process.returncode:
            raise SystemExit(f"bench: {' '.join(command)}\n{said.decode()}")
        if figure:
            self.times.setdefault(figure, []).append(took)

    async def verb(self, verb: str, *arguments: str) -> None:
        await self.types("kubectl", "chaingraph", verb, *arguments, figure=verb)

    async def until(self, name: str, phase: str) -> None:
        await self.types("kubectl", "wait", f"--for=jsonpath={{.status.phase}}={phase}", f"cgx/{name}", "--timeout=60s")


async def one_of_each(person: Person, name: str) -> None:
    """The verbs on one execution, in an order in which each is allowed."""
    await person.verb("create", "-f", str(person.flow), "--name", name, "--paused")
    await person.until(name, "Created")
    await person.verb("start", name)
    await person.until(name, "Running")
    await person.verb("get")
    await person.verb("tree", name)
    await person.verb("events", name)
    await person.verb("logs", name)
    await person.verb("breakpoints", "add", name, "n999")
    await person.verb("pause", name)
    await person.until(name, "Paused")
    await person.verb("step", name)
    await person.verb("resume", name)
    await person.until(name, "Running")
    await person.verb("stop", name)
    await person.until(name, "Stopped")
    await person.verb("wait", name)
    await person.verb("retry", name)
    await person.until(name, "Running")
    await person.types("kubectl_complete-chaingraph", "stop", "", figure="completion")
    await person.types("kubectl", "get", "cgx", name, "-o", "json", figure="raw_kubectl_get")
    await person.types("kubectl", "delete", "cgx", name)


async def main() -> None:
    parser = arguments(__doc__ or "")
    parser.add_argument("--count", type=int, default=20, help="of each verb (default 20)")
    options = parser.parse_args()
    async with bench_cluster(workers=1) as cluster:
        with tempfile.TemporaryDirectory() as folder:
            await one_of_each(Person(cluster, Path(folder)), "warm")
            person = Person(cluster, Path(folder))
            for number in range(options.count):
                await one_of_each(person, f"n{number}")
    figures = [Figure.of(name, "milliseconds", values) for name, values in person.times.items()]
    report(figures, options.output)


if __name__ == "__main__":
    asyncio.run(main())
