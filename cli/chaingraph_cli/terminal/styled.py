"""A rich console that escapes its text. Not in `output`, because rich takes long to import."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from chaingraph_cli.terminal.escapes import printable


class PrintableConsole(Console):
    """Escapes every text with `printable` after rich has laid it out.

    Cells of tables are escaped with `one_line` where they are filled, because the layout depends on their width.
    """

    def on_broken_pipe(self) -> None:
        """Leave it to `commands.end`: rich would exit with code 1."""
        raise

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterator[Segment]:
        for segment in super().render(renderable, options):
            # Control segments are rich's own: they move the cursor.
            yield segment if segment.control else Segment(printable(segment.text), segment.style)
