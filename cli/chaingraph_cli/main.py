"""Entry points: `chaingraph`, the same verbs as kubectl's plugin `kubectl chaingraph`, and the server programs.

A command's module is imported when it runs, so that everything answers at once, and without the extras of the others.
"""

from __future__ import annotations

import importlib
import sys
from typing import Final

from chaingraph_cli.commands import KUBECTL_PLUGIN, Entry, Program, end, extra_needed, print_error, run
from chaingraph_cli.errors import PackageMissing
from chaingraph_cli.terminal import escapes

_VERBS: Final = {
    "control executions": {
        "create": Entry("chaingraph_cli.verbs.create:COMMAND", "Create an execution from a Flow or a file."),
        "start": Entry("chaingraph_cli.verbs.control:START", "Start executions that were created paused."),
        "pause": Entry("chaingraph_cli.verbs.control:PAUSE", "Pause executions before their next nodes."),
        "resume": Entry("chaingraph_cli.verbs.control:RESUME", "Resume paused executions."),
        "step": Entry("chaingraph_cli.verbs.control:STEP", "Run the held nodes once and stay paused."),
        "stop": Entry("chaingraph_cli.verbs.control:STOP", "Stop executions now."),
        "retry": Entry("chaingraph_cli.verbs.control:RETRY", "Retry failed or stopped executions."),
        "signal": Entry("chaingraph_cli.verbs.signals:SIGNAL", "Send a signal to a node that waits for one."),
        "approve": Entry("chaingraph_cli.verbs.signals:APPROVE", "Give the approval that an execution waits for."),
        "reject": Entry("chaingraph_cli.verbs.signals:REJECT", "Refuse the approval that an execution waits for."),
        "breakpoints": Entry("chaingraph_cli.verbs.breakpoints:COMMAND", "List, add or remove breakpoints."),
    },
    "inspect executions": {
        "get": Entry("chaingraph_cli.verbs.get:COMMAND", "List executions, or show one in detail."),
        "approvals": Entry("chaingraph_cli.verbs.approvals:COMMAND", "List executions that wait for an approval."),
        "nodes": Entry("chaingraph_cli.verbs.nodes:COMMAND", "List the nodes of an execution with their outputs."),
        "outputs": Entry("chaingraph_cli.verbs.outputs:COMMAND", "Print the outputs of an execution, of any size."),
        "roots": Entry("chaingraph_cli.verbs.roots:COMMAND", "List root executions with counts of their descendants."),
        "tree": Entry("chaingraph_cli.verbs.tree:COMMAND", "Show an execution and its descendants."),
        "events": Entry("chaingraph_cli.verbs.events:COMMAND", "Print the events of an execution, or follow them."),
        "logs": Entry("chaingraph_cli.verbs.logs:COMMAND", "Print the log lines and errors of nodes."),
        "wait": Entry("chaingraph_cli.verbs.wait:COMMAND", "Wait until executions finish or pause."),
        "version": Entry("chaingraph_cli.verbs.version:COMMAND", "Print the versions of client and cluster."),
    },
}
_LOCAL: Final = {
    "up": Entry(
        "chaingraph_cli.local.arguments:UP",
        "Start a local cluster: API server, PostgreSQL, operator, workers.",
        "local",
    ),
    "down": Entry("chaingraph_cli.local.arguments:DOWN", "Stop the local cluster.", "local"),
    "status": Entry(
        "chaingraph_cli.local.arguments:STATUS", "Show the health of the processes of the local cluster.", "local"
    ),
    "demo": Entry("chaingraph_cli.local.arguments:DEMO", "Run the examples on a temporary cluster.", "local"),
}
_DATABASE: Final = {
    "erase": Entry(
        "chaingraph_cli.local.arguments:ERASE", "Erase executions from the database, with a record of it.", "server"
    ),
}
_COMPLETION: Final = {
    "completion": Entry("chaingraph_cli.verbs.completion:COMMAND", "Print a shell completion script."),
}
_COMPLETE: Final = "__complete"
"""The command that the scripts of `completion` call."""

CHAINGRAPH: Final = Program(
    "chaingraph",
    "Durable flow graphs as Kubernetes resources.",
    {**_VERBS, "local cluster": _LOCAL, "database": _DATABASE, "shell": _COMPLETION},
)
PLUGIN: Final = Program(KUBECTL_PLUGIN, "Control and watch ChainGraph executions.", _VERBS)


def main() -> None:
    """`chaingraph`."""
    escapes.guard()
    if sys.argv[1:2] == [_COMPLETE]:
        end(lambda: _answer(CHAINGRAPH, sys.argv[2:]))
    end(lambda: run(CHAINGRAPH, sys.argv[1:]))


def plugin() -> None:
    """`kubectl-chaingraph`: kubectl runs it for `kubectl chaingraph`."""
    escapes.guard()
    end(lambda: run(PLUGIN, sys.argv[1:]))


def complete() -> None:
    """`kubectl_complete-chaingraph`: kubectl runs it to complete `kubectl chaingraph`."""
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
        print_error(error)
        sys.exit(error.exit_code)
    serve()


def _answer(program: Program, words: list[str]) -> int:
    from chaingraph_cli.verbs.completion import answer

    print(answer(program, words))
    return 0


if __name__ == "__main__":
    main()
