"""The `chaingraph` command: what the terminal sees of the other modules. Every command's work is in its own module.

Those are imported when their command runs, so that `chaingraph --help` answers at once.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from chaingraph_cli.errors import CliError
from chaingraph_cli.output import OutputFormat

app = typer.Typer(
    name="chaingraph",
    help="Durable flow graphs as Kubernetes resources.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    # Plain help: rich would take longer to import than everything else together.
    rich_markup_mode=None,
)

StateOption = Annotated[
    Path, typer.Option("--state", metavar="DIR", help="Folder of the local cluster's data, logs and kubeconfig.")
]
_STATE = Path(".chaingraph")


@app.command()
def up(
    state: StateOption = _STATE,
    workers: Annotated[int, typer.Option(metavar="N", min=1, max=64, help="How many worker processes, 1 to 64.")] = 2,
    detach: Annotated[
        bool, typer.Option("--detach", help="Return once all is healthy; go on in the background.")
    ] = False,
    kubeconfig: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Run against this existing cluster: installs only the CRDs there."),
    ] = None,
    context: Annotated[
        str | None, typer.Option(metavar="NAME", help="Context of the kubeconfig; by default its current one.")
    ] = None,
    database_url: Annotated[
        str | None, typer.Option(metavar="URL", help="Use this PostgreSQL instead of starting one.")
    ] = None,
) -> None:
    """A whole cluster on this machine: API server, PostgreSQL, operator and workers, as local processes."""
    from chaingraph_cli import up as command
    from chaingraph_cli.cluster.state import Settings

    settings = Settings(
        workers=workers,
        kubeconfig=kubeconfig.expanduser().resolve() if kubeconfig else None,
        context=context,
        database_url=database_url,
    )
    command.run(state, settings, detach=detach)


@app.command()
def down(
    state: StateOption = _STATE,
    delete: Annotated[bool, typer.Option("--delete", help="Also remove the folder with all its data.")] = False,
) -> None:
    """End what `chaingraph up` started. Its data stays for the next `up`, unless --delete."""
    from chaingraph_cli import down as command

    command.run(state, delete=delete)


@app.command()
def status(
    state: StateOption = _STATE,
    output: Annotated[
        OutputFormat, typer.Option("--output", "-o", metavar="FORM", help="How to print it: table, json or yaml.")
    ] = OutputFormat.TABLE,
) -> None:
    """Every process of the local cluster. Exit code 0 only if all are healthy."""
    from chaingraph_cli import status as command

    raise typer.Exit(0 if command.run(state, output) else 1)


@app.command()
def demo(
    keep: Annotated[bool, typer.Option("--keep", help="Leave the cluster running.")] = False,
    state: Annotated[
        Path | None,
        typer.Option(
            "--state", metavar="DIR", help="State folder; by default .chaingraph with --keep, else a new one."
        ),
    ] = None,
    examples: Annotated[
        Path | None,
        typer.Option("--examples", metavar="DIR", help="Folder of the examples; the checkout's by default."),
    ] = None,
) -> None:
    """The examples on a cluster of their own: their executions live, their results. Leaves nothing running."""
    from chaingraph_cli import demo as command

    raise typer.Exit(command.run(state, examples, keep=keep))


def main() -> None:
    """Entry point: a `CliError` is two lines on stderr and an exit code; anything else keeps its traceback."""
    try:
        app()
    except CliError as fault:
        print(f"Error: {fault.message}", file=sys.stderr)
        if fault.hint:
            print(fault.hint, file=sys.stderr)
        sys.exit(fault.exit_code)


if __name__ == "__main__":
    main()
