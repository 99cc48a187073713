"""`version` and `--version`: prints the versions of client and cluster."""

from __future__ import annotations

import argparse
from importlib import metadata

from chaingraph_cli import discovery
from chaingraph_cli.commands import Command
from chaingraph_cli.errors import CliError
from chaingraph_cli.kubectl import Kubectl, finish

_SOON = "--request-timeout=3s"


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-o", "--output", choices=("table", "json", "yaml"), help="Output format.")


def _run(args: argparse.Namespace) -> int:
    found = {"client": metadata.version("chaingraph"), "cluster": _of_cluster(args)}
    if args.output in ("json", "yaml"):
        from chaingraph_cli.terminal.output import OutputFormat, dump

        print(dump(found, OutputFormat(args.output)))
        return 0
    for name, version in found.items():
        if version:
            print(f"{name}: {version}")
    return 0


def _of_cluster(args: argparse.Namespace) -> str | None:
    """Return the version of the operator in the cluster; None if it is unknown."""
    try:
        kubectl = Kubectl.of(args)
        arguments = ("get", "configmap", discovery.NAME, "-o", "json", _SOON)
        found = finish(kubectl.start(*arguments, namespace=discovery.NAMESPACE)).json()
    except CliError:
        return None
    return str((found.get("data") or {}).get(discovery.VERSION) or "") or None


COMMAND = Command(
    """\
Print the version of this program and of the operator in the cluster (from ConfigMap kube-public/chaingraph). If the
cluster is unreachable, prints the first alone. Also: --version.""",
    _arguments,
    _run,
    examples="""
kubectl chaingraph version
kubectl chaingraph version -o json
""",
)
