"""Entry points: `chaingraph`, and the same verbs as kubectl's plugin `kubectl chaingraph`.

A command's module is imported when it runs, so that everything answers at once.
"""

from __future__ import annotations

import sys
from typing import Final

from chaingraph_cli.commands import KUBECTL_PLUGIN, Entry, Program, run

_VERBS: Final = {
    "control executions": {
        "start": Entry("chaingraph_cli.plugin.start:COMMAND", "Start executions that were created paused."),
        "pause": Entry("chaingraph_cli.plugin.pause:COMMAND", "Pause executions before their next nodes."),
        "resume": Entry("chaingraph_cli.plugin.resume:COMMAND", "Let paused executions go on."),
        "step": Entry("chaingraph_cli.plugin.step:COMMAND", "Run the waiting nodes once, and stay paused."),
        "stop": Entry("chaingraph_cli.plugin.stop:COMMAND", "End executions now."),
        "retry": Entry("chaingraph_cli.plugin.retry:COMMAND", "Run executions again that failed or were stopped."),
    },
    "look at executions": {
        "get": Entry("chaingraph_cli.plugin.get:COMMAND", "List executions, or show one in full."),
    },
}
_LOCAL: Final = {
    "up": Entry("chaingraph_cli.local:UP", "Start a cluster: API server, PostgreSQL, operator, workers."),
    "down": Entry("chaingraph_cli.local:DOWN", "End what `up` started."),
    "status": Entry("chaingraph_cli.local:STATUS", "The health of every process of the local cluster."),
    "demo": Entry("chaingraph_cli.local:DEMO", "The examples on a cluster of their own."),
}

CHAINGRAPH: Final = Program(
    "chaingraph",
    "Durable flow graphs as Kubernetes resources.",
    {**_VERBS, "a cluster on this machine": _LOCAL},
)
PLUGIN: Final = Program(
    KUBECTL_PLUGIN,
    "Control and watch executions of ChainGraph.",
    {**_VERBS},
)


def main() -> None:
    """`chaingraph`."""
    sys.exit(run(CHAINGRAPH, sys.argv[1:]))


def plugin() -> None:
    """`kubectl-chaingraph`, which kubectl runs for `kubectl chaingraph`."""
    sys.exit(run(PLUGIN, sys.argv[1:]))


if __name__ == "__main__":
    main()
