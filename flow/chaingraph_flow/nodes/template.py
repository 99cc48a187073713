"""Render texts from values."""

from __future__ import annotations

from chaingraph_flow.context import NodeContext
from chaingraph_flow.limits import Limits
from chaingraph_flow.node import Input, Node, Output
from chaingraph_flow.ports import types as t
from chaingraph_flow.templates import rendered

LONGEST_TEMPLATE = Limits().template_text_bytes
LONGEST_RESULT = Limits().template_output_bytes

__all__ = ["LONGEST_RESULT", "LONGEST_TEMPLATE", "Template", "rendered"]


class Template(Node):
    """Renders a text from values, in Jinja's language: {{ name }}, {% for row in rows %}, {{ total | numeral(2) }}.

    A text is written unchanged, anything else as JSON. The properties of an object come before its methods:
    `data.items` is the property when there is one, and `data.items()` or `data | items` the pairs when there is none.
    Work, memory and the length of the text are limited (`CHAINGRAPH_MAX_TEMPLATE_STEPS` and related settings).
    """

    pure = True
    template = Input(
        t.String(),
        required=True,
        template_values="values",
        description="The template. Its names must be among the values.",
    )
    values = Input(t.Object(), description="The values by name; edges may lead to values.name.")
    result = Output(t.String(), description="The text.")

    def run(self, context: NodeContext) -> None:
        """Render the text. In a thread, because rendering only uses the processor."""
        self.result = rendered(self.template, self.values, context.limits)
