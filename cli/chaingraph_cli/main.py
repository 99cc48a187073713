"""Entry points: `chaingraph`, the same verbs as kubectl's plugin `kubectl chaingraph`, and the server programs.

A command's module is imported when it runs, so that everything answers at once, and without the extras of the others.
"""

from __future__ import annotations

import importlib
import sys
from typing import Final

from chaingraph_cli.commands import KUBECTL_PLUGIN, Entry, Program, end, extra_needed, run, tell
from chaingraph_cli.errors import PackageMissing
from chaingraph_cli.terminal import escapes

_VERBS: Final = {
    "control executions": {
        "create": Entry("chaingraph_cli.verbs.create:COMMAND", "Create an execution, of a Flow or of a file."),
        "start": Entry("chaingraph_cli.verbs.control:START", "Start executions that were created paused."),
        "pause": Entry("chaingraph_cli.verbs.control:PAUSE", "Pause executions before their next nodes."),
        "resume": Entry("chaingraph_cli.verbs.control:RESUME", "Let paused executions go on."),
        "step": Entry("chaingraph_cli.verbs.control:STEP", "Run the waiting nodes once, and stay paused."),
        "stop": Entry("chaingraph_cli.verbs.control:STOP", "End executions now."),
        "retry": Entry("chaingraph_cli.verbs.control:RETRY", "Run executions again that failed or were stopped."),
        "breakpoints": Entry("chaingraph_cli.verbs.breakpoints:COMMAND", "List, add or remove breakpoints."),
    },
    "look at executions": {
        "get": Entry("chaingraph_cli.verbs.get:COMMAND", "List executions, or show one in full."),
        "nodes": Entry("chaingraph_cli.verbs.nodes:COMMAND", "What the nodes put out so far, and which are held."),
        "outputs": Entry("chaingraph_cli.verbs.outputs:COMMAND", "The outputs of an execution, also large ones."),
        "roots": Entry("chaingraph_cli.verbs.roots:COMMAND", "List root executions, with the counts of all below."),
        "tree": Entry("chaingraph_cli.verbs.tree:COMMAND", "An execution with all that it has spawned."),
        "events": Entry("chaingraph_cli.verbs.events:COMMAND", "What happened, from any point on, and live."),
        "logs": Entry("chaingraph_cli.verbs.logs:COMMAND", "What the nodes logged, and why they failed."),
        "wait": Entry("chaingraph_cli.verbs.wait:COMMAND", "Wait until executions end, or pause."),
        "version": Entry("chaingraph_cli.verbs.version:COMMAND", "The versions of this program and of the cluster."),
    },
}
_LOCAL: Final = {
    "up": Entry(
        "chaingraph_cli.local.arguments:UP", "Start a cluster: API server, PostgreSQL, operator, workers.", "local"
    ),
    "down": Entry("chaingraph_cli.local.arguments:DOWN", "End what `up` started.", "local"),
    "status": Entry(
        "chaingraph_cli.local.arguments:STATUS", "The health of every process of the local cluster.", "local"
    ),
    "demo": Entry("chaingraph_cli.local.arguments:DEMO", "The examples on a cluster of their own.", "local"),
}
_DATABASE: Final = {
    "erase": Entry(
        "chaingraph_cli.local.arguments:ERASE", "Erase executions from the database, and record that.", "server"
    ),
}
_COMPLETION: Final = {
    "completion": Entry("chaingraph_cli.verbs.completion:COMMAND", "A script for the shell's Tab key."),
}
_COMPLETE: Final = "__complete"
"""What the scripts of `completion` call."""

CHAINGRAPH: Final = Program(
    "chaingraph",
    "Durable flow graphs as Kubernetes resources.",
    {**_VERBS, "a cluster on this machine": _LOCAL, "the database": _DATABASE, "your shell": _COMPLETION},
)
PLUGIN: Final = Program(KUBECTL_PLUGIN, "Control and watch executions of ChainGraph.", _VERBS)


def main() -> None:
    """`chaingraph`."""
    escapes.guard()
    if sys.argv[1:2] == [_COMPLETE]:
        end(lambda: _answer(CHAINGRAPH, sys.argv[2:]))
    end(lambda: run(CHAINGRAPH, sys.argv[1:]))


def plugin() -> None:
    """`kubectl-chaingraph`, which kubectl runs for `kubectl chaingraph`."""
    escapes.guard()
    end(lambda: run(PLUGIN, sys.argv[1:]))


def complete() -> None:
    """`kubectl_complete-chaingraph`, which kubectl asks when Tab is pressed after `kubectl chaingraph`."""
    escapes.guard()
    end(lambda: _answer(PLUGIN, sys.argv[1:]))


def worker() -> None:
    """`chaingraph-worker`."""
    _serve("chaingraph-worker", "chaingraph_worker.main")


def operator() -> None:
    """`chaingraph-operator`."""
    _serve("chaingraph-operator", "chaingraph_operator.main")


def gateway() -> None:
    """`chaingraph-gateway`."""
    _serve("chaingraph-gateway", "chaingraph_gateway.main")


def _serve(program: str, module: str) -> None:
    try:
        with extra_needed(program, "server"):
            serve = importlib.import_module(module).main
    except PackageMissing as error:
        tell(error)
        sys.exit(error.exit_code)
    serve()


def _answer(program: Program, words: list[str]) -> int:
    from chaingraph_cli.verbs.completion import answer

    print(answer(program, words))
    return 0


if __name__ == "__main__":
    main()
