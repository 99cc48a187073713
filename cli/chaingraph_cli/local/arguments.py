"""The arguments of `up`, `down`, `status`, `demo` and `erase`.

The modules that do the work are imported when a command runs, so that help and completion answer at once.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from chaingraph_cli.commands import Command

_STATE = Path(".chaingraph")
_STATE_HELP = "Folder with data, logs and kubeconfig of the local cluster."
_MAX_WORKERS = 64


def _workers(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= _MAX_WORKERS:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 1 to {_MAX_WORKERS}")
    return int(text)


def _add_state(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--state", metavar="DIR", type=Path, default=_STATE, help=_STATE_HELP)


def _up_arguments(parser: argparse.ArgumentParser) -> None:
    _add_state(parser)
    parser.add_argument(
        "--workers", metavar="N", type=_workers, default=2, help=f"Number of worker processes, 1 to {_MAX_WORKERS}."
    )
    parser.add_argument("--detach", action="store_true", help="Run in the background; return once it is healthy.")
    parser.add_argument(
        "--kubeconfig",
        metavar="FILE",
        type=Path,
        help="Use this existing cluster; only the API of ChainGraph is installed there.",
    )
    parser.add_argument("--context", metavar="CONTEXT", help="Defaults to the current context.")
    parser.add_argument("--database-url", metavar="URL", help="Use this PostgreSQL instead of starting one.")


def _up(args: argparse.Namespace) -> int:
    from chaingraph_cli.cluster.state import ClusterSettings
    from chaingraph_cli.local import up

    settings = ClusterSettings(
        workers=args.workers,
        kubeconfig=args.kubeconfig.expanduser().resolve() if args.kubeconfig else None,
        context=args.context,
        database_url=args.database_url,
    )
    up.run(args.state, settings, detach=args.detach)
    return 0


def _down_arguments(parser: argparse.ArgumentParser) -> None:
    _add_state(parser)
    parser.add_argument("--delete", action="store_true", help="Delete the folder and all data too.")


def _down(args: argparse.Namespace) -> int:
    from chaingraph_cli.local import down

    down.run(args.state, delete=args.delete)
    return 0


def _status_arguments(parser: argparse.ArgumentParser) -> None:
    _add_state(parser)
    parser.add_argument(
        "-o",
        "--output",
        metavar="FORM",
        choices=("table", "json", "yaml"),
        default="table",
        help="Output format: table, json or yaml.",
    )


def _status(args: argparse.Namespace) -> int:
    from chaingraph_cli.local import status
    from chaingraph_cli.terminal.output import OutputFormat

    return 0 if status.run(args.state, OutputFormat(args.output)) else 1


def _demo_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--keep", action="store_true", help="Leave the cluster running.")
    parser.add_argument(
        "--state",
        metavar="DIR",
        type=Path,
        help="State folder. Default: .chaingraph with --keep, else a temporary one.",
    )
    parser.add_argument(
        "--examples", metavar="DIR", type=Path, help="Folder of the examples; defaults to that of the checkout."
    )


def _demo(args: argparse.Namespace) -> int:
    from chaingraph_cli.local import demo

    return demo.run(args.state, args.examples, keep=args.keep)


def _erase_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("ids", nargs="*", metavar="ID", help="Execution ids, as in status.executionID.")
    parser.add_argument("--all-of", metavar="NAMESPACE", default="", help="Erase all executions of this namespace.")
    parser.add_argument(
        "--namespace-uid",
        metavar="UID",
        default="",
        help="With --all-of: only those of the namespace with this UID, which may be deleted.",
    )
    parser.add_argument("--reason", required=True, help="Reason, recorded in chaingraph.erasures.")
    parser.add_argument("--yes", action="store_true", help="Do not ask for confirmation. Erased data is lost.")


def _erase(args: argparse.Namespace) -> int:
    from chaingraph_cli.local import erase

    return erase.run(args)


UP = Command(
    "Start a cluster on this machine: API server, PostgreSQL, operator, gateway and workers, as local processes.",
    _up_arguments,
    _up,
    of_cluster=False,
)
DOWN = Command(
    "Stop the local cluster. The next `up` continues with its data, unless --delete.",
    _down_arguments,
    _down,
    of_cluster=False,
)
STATUS = Command(
    "Show the processes of the local cluster. Exit code 0 only if all are healthy.",
    _status_arguments,
    _status,
    of_cluster=False,
)
DEMO = Command(
    "Run the examples on a temporary cluster and print their results. Leaves nothing running, unless --keep.",
    _demo_arguments,
    _demo,
    of_cluster=False,
)
ERASE = Command(
    description=(
        "Erase executions and their descendants from the database: rows, journals, events, rows of DBOS, and flows "
        "that nothing else uses. Running executions are stopped. The table chaingraph.erasures records each erasure, "
        "its author and the reason. Set DATABASE_URL_EXECUTIONS to the connection string of a role that may delete, "
        "such as the operator's. Delete the resources first: the operator does not run an execution again whose row is "
        "gone, and reports that in its condition."
    ),
    arguments=_erase_arguments,
    run=_erase,
    examples="""
chaingraph erase EXFZNS7WQAGCWUEUJQKLCW65CS --reason "ticket 4711"
chaingraph erase --all-of team-a --namespace-uid 0b6b… --reason "team has left" --yes
""",
    of_cluster=False,
)
