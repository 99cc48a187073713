"""Numbers and booleans."""

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
"""Maximum exponent for whole numbers: the result could have any length."""


class Math(Node):
    """Calculates with two numbers. Fails when the result is not finite.

    Whole numbers stay exact up to 64 bits, also in divisions without remainder; beyond that, the node fails. With a
    fraction, the result is a double with 15 to 17 digits, and the node fails for a whole number with more digits.
    """

    category = "math"
    pure = True
    a = Input(t.Number(), required=True, description="The left number.")
    b = Input(t.Number(), required=True, description="The right number.")
    operation = Input(
        t.Enum(options=("add", "subtract", "multiply", "divide", "modulo", "power", "minimum", "maximum")),
        default="add",
        description="The operation.",
    )
    result = Output(t.Number(), description="The result.")

    async def run(self, context: NodeContext) -> None:
        """Calculate."""
        self.result = calculated(self.a, self.operation, self.b)


def calculated(a: float, operation: str, b: float) -> float:
    """Return the result of one of Math's operations. Raises NodeFailed when it is not finite."""
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
                    raise NodeFailed(f"{shown}: the exponent is greater than {LARGEST_EXPONENT}")
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
        raise NodeFailed(f"{shown}: an operand {error}") from None
    if isinstance(result, complex) or not _is_finite(result):
        raise NodeFailed(f"{shown}: the result is not a finite number")
    if isinstance(result, int) and not SMALLEST_INTEGER <= result <= LARGEST_INTEGER:
        raise NodeFailed(f"{shown}: the result is a whole number of more than 64 bits")
    if isinstance(result, float) and result.is_integer() and abs(result) < 2**53:
        return int(result)
    return result


def _is_finite(value: float) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:
        # a whole number beyond the floats: JSON readers would reject it
        return False


class And(Node):
    """True when both inputs are true."""

    category = "math"
    pure = True
    a = Input(t.Boolean(), required=True, description="One.")
    b = Input(t.Boolean(), required=True, description="The other input.")
    result = Output(t.Boolean(), description="Whether both are true.")

    async def run(self, context: NodeContext) -> None:
        """Combine."""
        self.result = self.a and self.b


class Or(Node):
    """True when at least one input is true."""

    category = "math"
    pure = True
    a = Input(t.Boolean(), required=True, description="One.")
    b = Input(t.Boolean(), required=True, description="The other input.")
    result = Output(t.Boolean(), description="Whether at least one is true.")

    async def run(self, context: NodeContext) -> None:
        """Combine."""
        self.result = self.a or self.b


class Not(Node):
    """Negates a boolean."""

    category = "math"
    pure = True
    value = Input(t.Boolean(), required=True, description="A boolean.")
    result = Output(t.Boolean(), description="Its opposite.")

    async def run(self, context: NodeContext) -> None:
        """Negate."""
        self.result = not self.value


class Random(Node):
    """A random number. The journal keeps it: a restart of the worker does not draw another one."""

    category = "math"
    minimum = Input(t.Number(), default=0, description="Smallest possible number.")
    maximum = Input(t.Number(), default=1, description="Largest possible number.")
    integer = Input(t.Boolean(), description="Whole numbers only.")
    result = Output(t.Number(), description="The number.")

    async def run(self, context: NodeContext) -> None:
        """Draw."""
        if self.minimum > self.maximum:
            raise NodeFailed(f"minimum {self.minimum} is greater than maximum {self.maximum}")
        if self.integer:
            least, most = math.ceil(self.minimum), math.floor(self.maximum)
            if least > most:
                raise NodeFailed(f"there is no whole number from {self.minimum} to {self.maximum}")
            self.result = random.randint(least, most)
        else:
            self.result = random.uniform(self.minimum, self.maximum)
