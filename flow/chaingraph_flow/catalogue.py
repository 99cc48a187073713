"""Describe node types as data: ports, types and rules in JSON.

Workers publish the catalogue of their node classes. The operator and the CLI validate flows against it, without the
nodes' code.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from typing import Any, Literal, Self

import orjson
from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from chaingraph_flow.errors import DuplicateNodeType
from chaingraph_flow.ports.derive import Rule
from chaingraph_flow.ports.types import Any as Any_
from chaingraph_flow.ports.types import Boolean, Object, PortType, String, holds_secrets

EXECUTE = "__execute"
SUCCESS = "__success"
ERROR = "__error"
ERROR_MESSAGE = "__errorMessage"
ERROR_PORTS = frozenset((ERROR, ERROR_MESSAGE))
APPROVERS = "approvers"
"""The static input with the users and groups who may approve."""
SCHEMA = "schema"
"""The static input with the type of a signal's payload."""


class _Data(BaseModel):
    model_config = ConfigDict(
        frozen=True, extra="forbid", alias_generator=to_camel, populate_by_name=True, protected_namespaces=()
    )


class InputPort(_Data):
    """An input of a node type."""

    key: str
    type: PortType
    description: str = ""
    required: bool = False
    default: Any = Field(default=None, description="Value when neither given nor connected.")
    tolerant: bool = Field(default=False, description="A refused transfer keeps the default; the node still runs.")
    static: bool = Field(default=False, description="Set in the flow only: no edge may end here.")
    template_values: str | None = Field(
        default=None, description="The text is a template, whose names are the properties of this input."
    )
    expression: bool = Field(default=False, description="The text is an expression in JMESPath.")
    passthrough: bool = Field(default=False, description="Also an output of the same key.")


class OutputPort(_Data):
    """An output of a node type, or with `keys_of` one output for each key of a static object input."""

    key: str
    type: PortType
    description: str = ""
    optional: bool = Field(default=False, description="May end without a value, which then is null.")
    typed_by: Rule | None = Field(default=None, description="How the type follows from the inputs.")
    keys_of: str | None = Field(default=None, description="The static object input whose keys name the outputs.")


class NodeType(_Data):
    """A node type, with everything that validation needs."""

    type: str
    description: str = ""
    category: str = ""
    pure: bool = Field(default=False, description="No effects besides the outputs: needs no durability barrier.")
    listens_to: str | None = Field(
        default=None, description="The static input with the name of the event that this node waits for."
    )
    takes_signals: str | None = Field(
        default=None,
        description="The static input with the name of the signal that this node waits for; empty for the node's id.",
    )
    calls: Literal["once", "each", "repeat"] | None = Field(
        default=None, description="How this node calls the subflow that its static input `subflow` names."
    )
    inputs: tuple[InputPort, ...] = ()
    outputs: tuple[OutputPort, ...] = ()

    @property
    def approval(self) -> bool:
        """Whether the signal that it takes is an approval, which only its approvers can send."""
        return self.takes_signals is not None and self.input(APPROVERS) is not None

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """Return a copy with other fields."""
        copied = super().model_copy(update=update, deep=deep)
        copied.__dict__.pop("secret_inputs", None)
        return copied

    @cached_property
    def secret_inputs(self) -> frozenset[str]:
        """Return the keys of the inputs that take secrets."""
        return frozenset(port.key for port in self.inputs if holds_secrets(port.type))

    def input(self, key: str) -> InputPort | None:
        """Return the input of this key, `__execute` included."""
        if key == EXECUTE:
            return EXECUTE_PORT
        return next((port for port in self.inputs if port.key == key), None)


EXECUTE_PORT = InputPort(
    key=EXECUTE, type=Boolean(), default=True, description="False skips the node; connect a Branch here to gate it."
)
SYSTEM_OUTPUTS = (
    OutputPort(key=SUCCESS, type=Boolean(), description="True when the node completed."),
    OutputPort(
        key=ERROR,
        type=Object(properties={"node": String(), "reason": String(), "message": String(), "details": Any_()}),
        description="The error, when the node failed: the reason in one word, the message, and details for programs. "
        "Connected to `__execute`, it counts as true.",
    ),
    OutputPort(key=ERROR_MESSAGE, type=String(), description="The error message, when the node failed."),
)


class Catalogue(Mapping[str, NodeType]):
    """Node types by name, sorted by name."""

    def __init__(self, types: Iterable[NodeType] = ()) -> None:
        """Raise DuplicateNodeType when one name stands for two different types."""
        self._types: dict[str, NodeType] = {}
        for each in sorted(types, key=lambda node_type: node_type.type):
            if self._types.setdefault(each.type, each) != each:
                raise DuplicateNodeType(f"the node type {each.type!r} is defined twice, with different ports")

    def __getitem__(self, type_: str) -> NodeType:
        return self._types[type_]

    def __iter__(self) -> Iterator[str]:
        return iter(self._types)

    def __len__(self) -> int:
        return len(self._types)

    def merge(self, other: Catalogue) -> Catalogue:
        """Return both together. Raises DuplicateNodeType when they define one type differently."""
        return Catalogue([*self.values(), *other.values()])

    def to_json(self) -> dict[str, Any]:
        """Return the JSON form: `{type: {...}}`."""
        return {
            name: each.model_dump(mode="json", by_alias=True, exclude_defaults=True)
            for name, each in self._types.items()
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Catalogue:
        """Parse the JSON form. Raises pydantic.ValidationError when it is invalid."""
        return cls(NodeType.model_validate(each) for each in value.values())

    @property
    def hash(self) -> str:
        """Return 16 hex characters that change when any type changes."""
        return hashlib.sha256(orjson.dumps(self.to_json(), option=orjson.OPT_SORT_KEYS)).hexdigest()[:16]
