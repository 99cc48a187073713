"""A console of rich whose texts cannot steer the terminal. Apart from `output`, since rich takes long to import."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from chaingraph_cli.terminal.escapes import printable


class PrintableConsole(Console):
    """Makes every text `printable` after rich has laid it out, so that no caller has to think of it.

    Cells of tables are made `one_line` where they are filled: the layout has to know how wide they are.
    """

    def on_broken_pipe(self) -> None:
        """Leave it to `commands.end`, called while the error is handled: rich would end with code 1."""
        raise

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterator[Segment]:
        for segment in super().render(renderable, options):
            # A control segment is rich's own, as the ones that move the cursor.
            yield segment if segment.control else Segment(printable(segment.text), segment.style)
