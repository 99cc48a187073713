"""Parse an expression's text, and refuse what would never do what its author means. Positions are offsets in the text.

JMESPath has no error for a property that does not exist: it is null. Two common mistakes are such properties, and are
refused: double quotes around a text, and true, false, null or a number without backticks.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, NoReturn

from jmespath import exceptions
from jmespath.lexer import Lexer
from jmespath.parser import ParsedResult, Parser

from chaingraph_crds.numbers import Inexact, exact_number
from chaingraph_flow.errors import FlowError, NotJson
from chaingraph_flow.expressions.functions import FUNCTIONS
from chaingraph_flow.field_errors import shortened, suggestion
from chaingraph_flow.ports.json_values import require_json

LONGEST_EXPRESSION: Final = 4096
"""Maximum characters of an expression."""
DEEPEST_EXPRESSION: Final = 60
"""Maximum nesting of an expression."""
_CONSTANTS: Final = frozenset(("true", "false", "null"))
_LONGEST_SHOWN: Final = 40
_NESTED: Final = f"is nested deeper than {DEEPEST_EXPRESSION} levels: use several nodes"
_AS_LITERAL: Final = "stands in backticks: "
_END: Final = "ends too early: a bracket, a quote or an operand is missing"

Tree = Any
"""A node of jmespath's syntax tree: `{type, value, children}`, and here `start`, its position."""


@dataclass(frozen=True, slots=True)
class Expression:
    """An expression that can be evaluated: its text, and its syntax tree, which nothing may change."""

    text: str
    tree: Tree


class InvalidExpression(FlowError):
    """The text is not an expression. `position` is the offset of the error in it."""

    def __init__(self, text: str, position: int, message: str) -> None:
        self.position = position
        self.message = message
        super().__init__(f"{place_of(text, position)}: {message}")


def place_of(text: str, position: int) -> str:
    """Return the column of a position, with the line if the text has several. Both count from 1."""
    begin = text.rfind("\n", 0, position) + 1
    line = f"line {text.count(chr(10), 0, begin) + 1}, " if "\n" in text.strip() else ""
    return f"{line}column {position - begin + 1}"


def compiled(text: str) -> Expression:
    """Parse an expression.

    Raises:
        InvalidExpression: the text is not one, or too long, or it could only be a mistake.
    """
    if len(text) > LONGEST_EXPRESSION:
        raise InvalidExpression(text, 0, f"has {len(text)} characters, the limit is {LONGEST_EXPRESSION}")
    if not text.strip():
        raise InvalidExpression(text, 0, "is empty: write an expression, such as items[?price > `10`].name")
    try:
        tree: Tree = _Parser(text).parse(text).parsed
    except exceptions.IncompleteExpressionError:
        raise InvalidExpression(text, len(text), _END) from None
    except exceptions.LexerError as error:
        raise InvalidExpression(text, error.lexer_position, _unreadable(str(error.message))) from None
    except exceptions.ParseError as error:
        raise InvalidExpression(text, error.lex_position, _unexpected(error)) from None
    except IndexError:  # the parser looks ahead beyond the end
        raise InvalidExpression(text, len(text), _END) from None
    except RecursionError:
        raise InvalidExpression(text, 0, _NESTED) from None
    if _deeper_than(tree, DEEPEST_EXPRESSION):
        raise InvalidExpression(text, 0, _NESTED)
    return Expression(text, tree)


class _Lexer(Lexer):
    """Refuses literals that are no JSON. jmespath takes them as texts, and rounds numbers."""

    def _consume_literal(self) -> dict[str, Any]:
        start = self._position
        lexeme = self._consume_until("`").replace("\\`", "`")
        try:
            value = json.loads(
                lexeme, parse_int=exact_number, parse_float=exact_number, parse_constant=_refuse_constant
            )
            require_json(value, ("the literal",))
        except Inexact as error:
            raise exceptions.LexerError(start, lexeme, f"the number {error}") from None
        except (ValueError, NotJson, RecursionError):
            message = f"`{shortened(lexeme, _LONGEST_SHOWN)}` is not JSON: write `10`, `true`, `null` or 'a text'"
            raise exceptions.LexerError(start, lexeme, message) from None
        return {"type": "literal", "value": value, "start": start, "end": self._position}


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(name)


class _Parser(Parser):
    """Notes the positions of functions, and refuses what can only be a mistake."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self._text = text

    def parse(self, expression: str) -> ParsedResult:
        """Parse without jmespath's cache: it may hold hundreds of megabytes."""
        return self._do_parse(expression)

    def _parse(self, expression: str) -> ParsedResult:
        self._tokens = list(_Lexer().tokenize(expression))
        self._index = 0
        tree = self._expression(binding_power=0)
        if self._current_token() != "eof":
            self._raise_parse_error_for_token(self._lookahead_token(0), "")
        self._refuse_expression_type(tree)
        return ParsedResult(expression, tree)

    def _token_nud_unquoted_identifier(self, token: dict[str, Any]) -> Tree:
        field = super()._token_nud_unquoted_identifier(token)
        name = token["value"]
        if name in _CONSTANTS and self._current_token() != "lparen":
            self._refuse(token["start"], f'{name} {_AS_LITERAL}`{name}`. For a property of that name, write "{name}"')
        return {**field, "start": token["start"]}

    def _token_nud_quoted_identifier(self, token: dict[str, Any]) -> Tree:
        return {**super()._token_nud_quoted_identifier(token), "start": token["start"], "quoted": True}

    def _token_nud_number(self, token: dict[str, Any]) -> Tree:
        self._refuse(token["start"], f"a number {_AS_LITERAL}`{token['value']}`")

    def _token_nud_expref(self, token: dict[str, Any]) -> Tree:
        return {**super()._token_nud_expref(token), "start": token["start"]}

    def _token_led_lparen(self, left: Tree) -> Tree:
        node: Tree = super()._token_led_lparen(left)
        name, start, given = node["value"], left.get("start", 0), node["children"]
        signature = FUNCTIONS.get(name)
        if signature is None:
            self._refuse(start, f"unknown function {shortened(name, _LONGEST_SHOWN)}(){suggestion(name, FUNCTIONS)}")
        if not signature.takes(len(given)):
            self._refuse(start, f"{name}() takes {signature.arguments}, gets {len(given)}")
        for index, each in enumerate(given):
            self._refuse_quoted(each)
            if each["type"] != "expref" and index in signature.expressions:
                self._refuse(start, f"argument {index + 1} of {name}() is an expression for each element: write &name")
            if each["type"] == "expref" and index not in signature.expressions:
                self._refuse(each["start"], f"argument {index + 1} of {name}() is a value: remove the &")
        return {**node, "start": start}

    def _parse_slice_expression(self) -> Tree:
        start = self._lookahead_token(0)["start"]
        node: Tree = super()._parse_slice_expression()
        if node["children"][2] == 0:
            self._refuse(start, "the step of a slice cannot be 0")
        return node

    def _parse_comparator(self, left: Tree, comparator: str) -> Tree:
        node: Tree = super()._parse_comparator(left, comparator)
        for each in node["children"]:
            self._refuse_quoted(each)
        return node

    def _refuse_quoted(self, operand: Tree) -> None:
        if operand.get("quoted"):
            text = shortened(operand["value"], _LONGEST_SHOWN)
            message = f'"{text}" is the property of that name: write \'{text}\' for a text, @."{text}" for the property'
            self._refuse(operand["start"], message)

    def _refuse_expression_type(self, tree: Tree) -> None:
        """Refuse & outside of a function's arguments: there, nothing evaluates it."""
        for node, inside_call in _nodes(tree):
            if node["type"] == "expref" and not inside_call:
                self._refuse(node["start"], "& is only for arguments of functions such as sort_by(items, &name)")

    def _refuse(self, position: int, message: str) -> NoReturn:
        raise InvalidExpression(self._text, position, message)


def _nodes(tree: Tree) -> Iterator[tuple[Tree, bool]]:
    """Yield every node of a tree, and whether it is an argument of a function."""
    left = [(tree, False)]
    while left:
        node, inside_call = left.pop()
        yield node, inside_call
        called = node["type"] == "function_expression"
        left += [(each, called) for each in node["children"] if isinstance(each, dict)]


def _deeper_than(tree: Tree, levels: int) -> bool:
    level = [tree]
    for _ in range(levels):
        level = [each for node in level for each in node["children"] if isinstance(each, dict)]
        if not level:
            return False
    return True


def _unreadable(message: str) -> str:
    if message.startswith("Unclosed"):
        return f"{message.split()[1]} is opened and not closed"
    if message.startswith("Unknown token"):
        token = message.removeprefix("Unknown token ").strip("'")
        return f"unknown character {token}" + (": write == to compare" if token == "=" else "")
    return message


def _unexpected(error: exceptions.ParseError) -> str:
    if error.token_type == "EOF":
        return _END
    return f"unexpected {shortened(str(error.token_value), _LONGEST_SHOWN)!r}"
