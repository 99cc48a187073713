"""Templates in Jinja's language over JSON values. jinja2 only parses them.

A flow's author is not the worker's owner. So a template is not compiled to Python, its values have no Python attributes
and methods, and all work is charged before it is done: see `budget`.
"""

from __future__ import annotations

from chaingraph_flow.templates.checking import Suggest, errors_of
from chaingraph_flow.templates.names import COMING, Given, Known, missing_names
from chaingraph_flow.templates.parsing import NESTED, Malformed, TemplateFieldError, parsed
from chaingraph_flow.templates.rendering import rendered

__all__ = ["COMING", "Given", "Known", "TemplateFieldError", "check", "rendered"]


def check(source: str, given: Given, *, others: bool, suggest: Suggest) -> list[TemplateFieldError]:
    """Return the errors of a template before it is rendered, in the order of its text.

    Args:
        source: the template.
        given: the known values, by name.
        others: whether values of other names may come as well.
        suggest: finds a similar name.
    """
    try:
        template = parsed(source)
        found = [*errors_of(template, suggest), *missing_names(template, given, others=others, suggest=suggest)]
    except Malformed as error:
        return [error.error]
    except RecursionError:
        return [NESTED]
    return sorted(set(found), key=lambda each: (each.line, each.column))
