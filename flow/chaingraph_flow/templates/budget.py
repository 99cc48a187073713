"""What one rendering may spend: steps of work, bytes of values that it makes, and bytes of text that it writes.

All are counted by the length of what is looked at or made, and before it is: a comparison of lists that share their
parts is charged as the walk that it is. So a template ends within a second or two, whatever it says.
"""

from __future__ import annotations

from chaingraph_flow.limits import Limits
from chaingraph_flow.ports.json_values import size_of

CHARACTERS_A_STEP = 16
LIST_BYTES = 56
ELEMENT_BYTES = 8
TEXT_BYTES = 50
PROPERTY_BYTES = 100


class TemplateError(Exception):
    """Something in the template cannot be done; the message says what. The line is added where it is caught."""


class Budget:
    """Counts down. Every method raises LimitExceeded when nothing is left."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._steps = limits.template_steps
        self._bytes = limits.template_bytes
        self._output = limits.template_output_bytes

    def step(self, count: int = 1) -> None:
        """Work of so many steps."""
        self._steps -= count
        if self._steps < 0:
            raise self._limits.exceeded("template_steps", "the template", does="takes", unit="steps")

    def look_at(self, value: object) -> None:
        """Work that goes through all of a value, such as to print or compare it."""
        if isinstance(value, str):
            self.step(len(value) // CHARACTERS_A_STEP + 1)
        elif isinstance(value, list | dict):
            self.step(size_of(value, self._steps * CHARACTERS_A_STEP) // CHARACTERS_A_STEP + 1)

    def scan(self, *texts: object) -> None:
        """Work that goes through texts once."""
        self.step(sum(len(each) for each in texts if isinstance(each, str)) // CHARACTERS_A_STEP + 1)

    def room(self, size: int) -> None:
        """Memory of a value that is about to be made."""
        self._bytes -= size
        if self._bytes < 0:
            raise self._limits.exceeded("template_bytes", "the template", does="makes values of")

    def text_room(self, length: int) -> None:
        """A text of this length is about to be made: no longer than what a template may write."""
        if length > self._limits.template_output_bytes:
            raise self._limits.exceeded("template_output_bytes", "the template", length, does="makes a text of")
        self.step(length // CHARACTERS_A_STEP)
        self.room(length + TEXT_BYTES)

    def list_room(self, length: int) -> None:
        """A list of so many elements, which are there already, is about to be made."""
        self.step(length)
        self.room(LIST_BYTES + ELEMENT_BYTES * length)

    def texts_room(self, count: int, length: int) -> None:
        """A list of so many texts, so long together, is about to be made."""
        self.list_room(count)
        self.room(length + TEXT_BYTES * count)

    def write(self, text: str) -> None:
        """A text goes into the result."""
        self.step(len(text) // CHARACTERS_A_STEP + 1)
        self._output -= len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))
        if self._output < 0:
            raise self._limits.exceeded("template_output_bytes", "the template", does="writes")
