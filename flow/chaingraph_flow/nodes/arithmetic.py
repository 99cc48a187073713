"""Numbers and truth values."""

from __future__ import annotations

import math
import random

from chaingraph_crds.numbers import (
    LARGEST_INTEGER,
    SMALLEST_INTEGER,
    Inexact,
    divided,
    require_same_precision,
)
from chaingraph_flow.context import NodeContext
from chaingraph_flow.errors import NodeFailed
from chaingraph_flow.node import Input, Node, Output
from chaingraph_flow.ports import types as t

LARGEST_EXPONENT = 1024
"""Of a power of whole numbers: beyond, the result would be of any length."""


class Math(Node):
    """Calculates with two numbers. What is no finite number fails.

    Whole numbers stay exact up to 64 bits, also those whose division has no remainder; beyond, the node fails. As soon
    as a number with a fraction takes part the result is a double, with 15 to 17 digits: a whole number that has more
    fails then.
    """

    category = "math"
    pure = True
    a = Input(t.Number(), required=True, description="The left number.")
    b = Input(t.Number(), required=True, description="The right number.")
    operation = Input(
        t.Enum(options=("add", "subtract", "multiply", "divide", "modulo", "power", "minimum", "maximum")),
        default="add",
        description="What to do with them.",
    )
    result = Output(t.Number(), description="The result.")

    async def run(self, context: NodeContext) -> None:
        """Calculate."""
        self.result = calculated(self.a, self.operation, self.b)


def calculated(a: float, operation: str, b: float) -> float:
    """The result of one of Math's operations. Raises NodeFailed when there is no finite one."""
    shown = f"{a} {operation} {b}"
    try:
        if operation not in ("minimum", "maximum"):
            require_same_precision(a, b)
        match operation:
            case "add":
                result = a + b
            case "subtract":
                result = a - b
            case "multiply":
                result = a * b
            case "divide":
                result = divided(a, b)
            case "modulo":
                result = a % b
            case "power":
                if abs(b) > LARGEST_EXPONENT:
                    raise NodeFailed(f"{shown}: the exponent is beyond {LARGEST_EXPONENT}")
                result = a**b
            case "minimum":
                result = min(a, b)
            case _:
                result = max(a, b)
    except ZeroDivisionError:
        raise NodeFailed(f"{shown}: division by zero") from None
    except OverflowError:
        raise NodeFailed(f"{shown}: the result is too large") from None
    except Inexact as error:
        raise NodeFailed(f"{shown}: one of them {error}") from None
    if isinstance(result, complex) or not _is_finite(result):
        raise NodeFailed(f"{shown}: the result is no finite number")
    if isinstance(result, int) and not SMALLEST_INTEGER <= result <= LARGEST_INTEGER:
        raise NodeFailed(f"{shown}: the result is a whole number of more than 64 bits")
    if isinstance(result, float) and result.is_integer() and abs(result) < 2**53:
        return int(result)
    return result


def _is_finite(value: float) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:
        # a whole number beyond the floats: no JSON reader would take it
        return False


class And(Node):
    """True when both are."""

    category = "math"
    pure = True
    a = Input(t.Boolean(), required=True, description="One.")
    b = Input(t.Boolean(), required=True, description="The other.")
    result = Output(t.Boolean(), description="Whether both are true.")

    async def run(self, context: NodeContext) -> None:
        """Combine."""
        self.result = self.a and self.b


class Or(Node):
    """True when one of them is, or both are."""

    category = "math"
    pure = True
    a = Input(t.Boolean(), required=True, description="One.")
    b = Input(t.Boolean(), required=True, description="The other.")
    result = Output(t.Boolean(), description="Whether at least one is true.")

    async def run(self, context: NodeContext) -> None:
        """Combine."""
        self.result = self.a or self.b


class Not(Node):
    """The opposite."""

    category = "math"
    pure = True
    value = Input(t.Boolean(), required=True, description="A truth value.")
    result = Output(t.Boolean(), description="Its opposite.")

    async def run(self, context: NodeContext) -> None:
        """Turn round."""
        self.result = not self.value


class Random(Node):
    """A random number. The journal keeps it: a restart of the worker does not draw another one."""

    category = "math"
    minimum = Input(t.Number(), default=0, description="The least it may be.")
    maximum = Input(t.Number(), default=1, description="The most it may be.")
    integer = Input(t.Boolean(), description="Whole numbers alone.")
    result = Output(t.Number(), description="The number.")

    async def run(self, context: NodeContext) -> None:
        """Draw."""
        if self.minimum > self.maximum:
            raise NodeFailed(f"the minimum {self.minimum} is more than the maximum {self.maximum}")
        if self.integer:
            least, most = math.ceil(self.minimum), math.floor(self.maximum)
            if least > most:
                raise NodeFailed(f"there is no whole number from {self.minimum} to {self.maximum}")
            self.result = random.randint(least, most)
        else:
            self.result = random.uniform(self.minimum, self.maximum)
