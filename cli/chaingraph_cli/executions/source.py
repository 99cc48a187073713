"""Reads the source of `create`: a Flow, a file or an earlier execution, with the declared inputs."""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from typing import Any

from chaingraph_cli.errors import CliError, Forbidden, NotFound, Usage
from chaingraph_cli.executions import manifest
from chaingraph_cli.executions.targets import bare, read_one
from chaingraph_cli.executions.without_resource import no_resource
from chaingraph_cli.kubectl import FLOWS, Kubectl, nothing_there


@dataclass(frozen=True)
class Source:
    """The source of a new Execution.

    Attributes:
        manifest: the Execution without the options of the command line.
        flow_name: the Flow that it refers to; empty if its flow is inline.
        flow: the spec of the flow; None if it cannot be read.
    """

    manifest: manifest.Manifest
    flow_name: str
    flow: dict[str, Any] | None


def of(args: argparse.Namespace, kubectl: Kubectl) -> Source:
    """Read the source that the command line names.

    Raises:
        Usage: it names none, or several.
        NotFound: the Flow or the execution does not exist.
    """
    if sum(map(bool, (args.flow, args.filename, args.from_execution))) != 1:
        raise Usage("Specify one source: --flow FLOW, -f FILE or --from-execution NAME.")
    if args.flow:
        made = manifest.of_flow(args.flow)
    elif args.filename:
        made = manifest.of_file(args.filename)
    else:
        made = manifest.again(read_one(kubectl, bare(args.from_execution), no_resource).item)
    spec = made.get("spec") or {}
    name = (spec.get("flowRef") or {}).get("name") if isinstance(spec, dict) else None
    if not isinstance(name, str):
        flow = spec.get("flow") if isinstance(spec, dict) else None
        return Source(made, "", flow if isinstance(flow, dict) else None)
    return Source(made, name, _flow(args, kubectl, name))


def _flow(args: argparse.Namespace, kubectl: Kubectl, name: str) -> dict[str, Any] | None:
    """Read the spec of a Flow; None if it is allowed to be missing or the user may not read it."""
    try:
        found = kubectl.run("get", FLOWS, name, "-o", "json").json()
    except Forbidden:
        return None
    except NotFound as absent:
        error = nothing_there(kubectl, name, FLOWS)
        if "Install the CRDs" in absent.hint:
            raise
        if args.allow_missing or args.dry_run == "client":
            warning = f"Warning: {error.message} The execution starts once the Flow is created."
            print(warning, error.hint, file=sys.stderr)
            return None
        raise NotFound(
            error.message, f"{error.hint}\nTo create the execution before its Flow, use --allow-missing."
        ) from absent
    except CliError:
        if args.dry_run == "client":
            return None
        raise
    return dict(found.get("spec") or {})
