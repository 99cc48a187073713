"""The budget of one rendering or expression: steps of work, bytes of values it creates, and bytes of text it writes.

All are charged by the length of the values involved, and in advance: a comparison of lists that share their parts costs
its full walk. So it ends within a second or two, whatever it contains.
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
    """An operation of the template failed. The line is added where this is caught."""


class Budget:
    """The remaining budget. Every method raises LimitExceeded when nothing is left."""

    def __init__(self, limits: Limits, what: str = "the template") -> None:
        """`what` is the subject of messages."""
        self._limits = limits
        self._what = what
        self._steps = limits.template_steps
        self._bytes = limits.template_bytes
        self._output = limits.template_output_bytes

    def step(self, count: int = 1) -> None:
        """Charge a number of steps."""
        self._steps -= count
        if self._steps < 0:
            raise self._limits.exceeded("template_steps", self._what, does="takes", unit="steps")

    def look_at(self, value: object) -> None:
        """Charge work that visits all of a value, such as printing or comparing it."""
        if isinstance(value, str):
            self.step(len(value) // CHARACTERS_A_STEP + 1)
        elif isinstance(value, list | dict):
            self.step(size_of(value, self._steps * CHARACTERS_A_STEP) // CHARACTERS_A_STEP + 1)

    def scan(self, *texts: object) -> None:
        """Charge work that reads texts once."""
        self.step(sum(len(each) for each in texts if isinstance(each, str)) // CHARACTERS_A_STEP + 1)

    def room(self, size: int) -> None:
        """Charge the memory of a value about to be created."""
        self._bytes -= size
        if self._bytes < 0:
            raise self._limits.exceeded("template_bytes", self._what, does="makes values of")

    def text_room(self, length: int) -> None:
        """Charge a text of this length about to be created. It may not be longer than the template's output."""
        if length > self._limits.template_output_bytes:
            raise self._limits.exceeded("template_output_bytes", self._what, length, does="makes a text of")
        self.step(length // CHARACTERS_A_STEP)
        self.room(length + TEXT_BYTES)

    def list_room(self, length: int) -> None:
        """Charge a list about to be created from this many existing elements."""
        self.step(length)
        self.room(LIST_BYTES + ELEMENT_BYTES * length)

    def texts_room(self, count: int, length: int) -> None:
        """Charge a list about to be created from this many texts with this total length."""
        self.list_room(count)
        self.room(length + TEXT_BYTES * count)

    def write(self, text: str) -> None:
        """Charge a text written to the result."""
        self.step(len(text) // CHARACTERS_A_STEP + 1)
        self._output -= len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))
        if self._output < 0:
            raise self._limits.exceeded("template_output_bytes", self._what, does="writes")
