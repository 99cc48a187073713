"""Parse a template's text to its syntax tree. Nodes know their position: their `lineno` is an offset in the text."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import jinja2
from jinja2 import nodes as syntax
from jinja2.lexer import Lexer
from jinja2.parser import Parser

_LINE_ENDS: Final = re.compile(r"\r\n?")
_POSITION: Final = re.compile(r" at \d+$")


@dataclass(frozen=True, slots=True)
class TemplateFieldError:
    """An error that occurs in every rendering of the template. Lines and columns are counted from 1."""

    line: int
    column: int
    message: str

    def __str__(self) -> str:
        return f"line {self.line}, column {self.column}: {self.message}"


NESTED: Final = TemplateFieldError(1, 1, "the template is nested too deeply")


class Malformed(Exception):
    """The text is not a template."""

    def __init__(self, error: TemplateFieldError) -> None:
        super().__init__(str(error))
        self.error = error


@dataclass(frozen=True, slots=True)
class Parsed:
    """A template: its text, with \\n at the end of each line, and its tree."""

    source: str
    tree: syntax.Template

    def line(self, offset: int) -> int:
        """Return the line of an offset in the text."""
        return self.source.count("\n", 0, offset) + 1

    def error(self, node: syntax.Node, message: str) -> TemplateFieldError:
        """Create an error at the position of a node."""
        return _error(self.source, node.lineno, message)


def parsed(source: str) -> Parsed:
    """Parse a template.

    Raises:
        Malformed: the text is not a template.
    """
    text = _LINE_ENDS.sub("\n", source)
    try:
        return Parsed(text, Parser(_ENVIRONMENT, text).parse())
    except jinja2.TemplateSyntaxError as error:
        raise Malformed(_error(text, error.lineno, _POSITION.sub("", error.message or "not a template"))) from None
    except RecursionError:
        raise Malformed(NESTED) from None
    except ValueError:  # a number that Python cannot parse
        raise Malformed(TemplateFieldError(1, 1, "the template has a number of thousands of digits")) from None


def _error(text: str, offset: int, message: str) -> TemplateFieldError:
    begin = text.rfind("\n", 0, offset) + 1
    return TemplateFieldError(text.count("\n", 0, begin) + 1, offset - begin + 1, message)


class _Lexer(Lexer):
    """Returns the offset of each token where jinja2 returns its line."""

    def tokeniter(
        self, source: str, name: str | None, filename: str | None = None, state: str | None = None
    ) -> Iterator[tuple[int, str, str]]:
        end = 0
        try:
            for _, token, value in super().tokeniter(source, name, filename, state):
                # Between two tokens there is at most the white space that a `-` has stripped.
                begin = source.find(value, end)
                end = begin + len(value)
                yield begin, token, value
        except jinja2.TemplateSyntaxError as error:
            raise jinja2.TemplateSyntaxError(error.message or "", end, name, filename) from None


class _Environment(jinja2.Environment):
    @property
    def lexer(self) -> Lexer:
        return _LEXER


_ENVIRONMENT: Final = _Environment(keep_trailing_newline=True, cache_size=0)
_LEXER: Final = _Lexer(_ENVIRONMENT)
