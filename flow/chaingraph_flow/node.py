"""Write a node as a small class with typed ports and a `run` method.

    class Shout(Node):
        \"\"\"Says a text louder.\"\"\"

        text = Input(String(), required=True, description="What to say.")
        result = Output(String())

        async def run(self, context: NodeContext) -> None:
            self.result = self.text.upper()

Inside `run`, a port reads and writes as a plain attribute of its Python type. `async def run` runs on the event loop
and must not block it; a plain `def run` runs in a thread. A timeout raises an exception in that thread. If that does
not end it, the worker ends the execution's process. Every try gets a new instance, so no state is left from an earlier
one.

The class's declarations become its `NodeType` (see catalogue.py) when the class is created. Validation knows nothing
else of it.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Literal, Protocol, Self, TypeVar, overload

from pydantic.alias_generators import to_camel

from chaingraph_flow.calls import CallPlan
from chaingraph_flow.catalogue import InputPort, NodeType, OutputPort
from chaingraph_flow.context import NodeContext
from chaingraph_flow.errors import InvalidNodeClass
from chaingraph_flow.limits import Limits
from chaingraph_flow.ports.derive import AnyRule, Given, SameAs, inputs_of, static_inputs_of
from chaingraph_flow.ports.types import AnyPortType, Object, Secret, Secrets, String, check_value, holds_secrets

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


class Carries(Protocol[T_co]):
    """A port type, with the Python type of its values."""

    def empty(self) -> T_co:
        """Return the value of an input without one."""


class Port(Generic[T]):
    """Base of the descriptors. Values are in the instance's own dict, so reading one costs nothing extra."""

    attribute: str = ""

    def __init__(self, type: Carries[T], *, description: str, key: str | None) -> None:
        assert isinstance(type, AnyPortType), type
        self.type: AnyPortType = type
        self.description = description
        self._key = key

    @property
    def key(self) -> str:
        """The port's name in a flow: the attribute's name in camel case, or as given."""
        return self._key or to_camel(self.attribute.rstrip("_"))

    def __set_name__(self, owner: type, name: str) -> None:
        self.attribute = name

    @overload
    def __get__(self, instance: None, owner: type) -> Self: ...
    @overload
    def __get__(self, instance: object, owner: type) -> T: ...
    def __get__(self, instance: object | None, owner: type) -> Self | T:
        if instance is None:
            return self
        raise AttributeError(f"the port {self.key!r} has no value yet")

    if TYPE_CHECKING:

        def __set__(self, instance: object, value: T) -> None: ...


class Input(Port[T]):
    """An input port. Without a value it has `default`, or the empty value of its type."""

    passthrough: ClassVar[bool] = False

    def __init__(
        self,
        type: Carries[T],
        *,
        required: bool = False,
        default: T | None = None,
        description: str = "",
        tolerant: bool = False,
        static: bool = False,
        template_values: str | None = None,
        expression: bool = False,
        key: str | None = None,
    ) -> None:
        """With `template_values`, validate a fixed text as a template over that object input.

        With `expression`, validate it as an expression: see `chaingraph_flow.expressions`.
        """
        super().__init__(type, description=description, key=key)
        self.required = required
        self.default: T = type.empty() if default is None else default
        self.tolerant = tolerant
        self.static = static
        self.template_values = template_values
        self.expression = expression

    def descriptor(self) -> InputPort:
        """Return the port as data."""
        return InputPort(
            key=self.key,
            type=self.type,
            description=self.description,
            required=self.required,
            default=None if self.required or isinstance(self.type, Secret) else self.default,
            tolerant=self.tolerant,
            static=self.static,
            template_values=self.template_values,
            expression=self.expression,
            passthrough=self.passthrough,
        )


class Output(Port[T]):
    """An output port. The node must set it, unless it is `optional`."""

    def __init__(
        self,
        type: Carries[T],
        *,
        description: str = "",
        optional: bool = False,
        typed_by: str | AnyRule | None = None,
        key: str | None = None,
    ) -> None:
        """With `typed_by`, derive the type from the inputs; a name is short for `Given(input=name)`."""
        super().__init__(type, description=description, key=key)
        self.optional = optional
        self.rule: AnyRule | None = Given(input=typed_by) if isinstance(typed_by, str) else typed_by

    def descriptor(self) -> OutputPort:
        """Return the port as data."""
        return OutputPort(
            key=self.key,
            type=self.type,
            description=self.description,
            optional=self.optional,
            typed_by=self.rule,
        )


class Passthrough(Input[T]):
    """An input that is also an output: its value passes unchanged, unless the node sets another one."""

    passthrough: ClassVar[bool] = True

    def __init__(
        self,
        type: Carries[T],
        *,
        required: bool = False,
        default: T | None = None,
        description: str = "",
        typed_by: str | AnyRule | None = None,
        key: str | None = None,
    ) -> None:
        super().__init__(type, required=required, default=default, description=description, key=key)
        self.rule: AnyRule | None = Given(input=typed_by) if isinstance(typed_by, str) else typed_by

    def output(self) -> OutputPort:
        """Return the output side as data."""
        return OutputPort(
            key=self.key,
            type=self.type,
            description=self.description,
            optional=True,
            typed_by=self.rule or SameAs(input=self.key),
        )


class Outputs(Port[dict[str, T]]):
    """One output for each key of a static object input. `run` sets a dict with a value for every key."""

    def __init__(self, type: Carries[T], *, keys_of: str, description: str = "", optional: bool = False) -> None:
        assert isinstance(type, AnyPortType), type
        self.type = type
        self.description = description
        self._key = None
        self.keys_of = keys_of
        self.optional = optional

    def descriptor(self) -> OutputPort:
        """Return the ports as data."""
        return OutputPort(
            key=self.key,
            type=self.type,
            description=self.description,
            optional=self.optional,
            keys_of=self.keys_of,
        )


class Node:
    """Base of all nodes. The first line of a subclass's docstring describes it to users."""

    type: ClassVar[str] = ""
    """The name in flows; by default the class's name. A team's own nodes have a prefix: `acme.Shout`."""
    category: ClassVar[str] = ""
    """The heading in the reference; by default the module's name."""
    pure: ClassVar[bool] = False
    """No effects besides outputs, emissions and logs: the engine need not make the journal durable first."""
    listens_to: ClassVar[str | None] = None
    """The key of the static input with the name of the event this node waits for."""
    takes_signals: ClassVar[str | None] = None
    """The key of the static input with the name of the signal this node waits for; '' there means the node's id."""

    calls: ClassVar[Literal["once", "each", "repeat"] | None] = None
    """How it calls a subflow; see `CallingNode`."""

    node_type: ClassVar[NodeType]
    ports: ClassVar[dict[str, Port[Any]]]
    """The declared ports by attribute."""
    runs_in_thread: ClassVar[bool]

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        for name in sorted(_OWN_NAMES & vars(cls).keys()):
            if isinstance(vars(cls)[name], Port):
                raise InvalidNodeClass(
                    f"{cls.__qualname__}: the attribute {name!r} is reserved; "
                    f"name the port {name}_, which is {name!r} in flows"
                )
        cls.ports = {
            name: port for base in reversed(cls.__mro__) for name, port in vars(base).items() if isinstance(port, Port)
        }
        if cls.run is Node.run:
            return
        if inspect.isasyncgenfunction(cls.run) or inspect.isgeneratorfunction(cls.run):
            raise InvalidNodeClass(f"{cls.__qualname__}: run contains a yield, so it would never run; set the outputs")
        cls.runs_in_thread = not inspect.iscoroutinefunction(cls.run)
        cls.node_type = _described(cls)

    def run(self, context: NodeContext) -> Awaitable[None] | None:
        """Read the inputs, set the outputs. Raise NodeFailed to fail with a message, NodeSkipped to end skipped."""
        raise NotImplementedError


_OWN_NAMES = frozenset(
    (
        *("type", "category", "pure", "listens_to", "takes_signals", "calls"),
        *("node_type", "ports", "runs_in_thread", "run", "plan", "passed_on"),
    )
)


class CallingNode(Node):
    """Base of the nodes that call a subflow. The engine carries out their plan instead of running code of theirs."""

    pure = True
    runs_in_thread = False

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        cls.node_type = _described(cls)

    @classmethod
    def plan(cls, values: Mapping[str, Any], limits: Limits) -> CallPlan:
        """Return the plan of the calls, given the values of all inputs by key."""
        raise NotImplementedError

    @classmethod
    def passed_on(cls, values: Mapping[str, Any]) -> dict[str, Any]:
        """Return the values of the inputs that are the subflow's."""
        own = {port.key for port in cls.ports.values()}
        return {key: value for key, value in values.items() if key not in own}


def _described(cls: type[Node]) -> NodeType:
    own_name = vars(cls).get("type") or cls.__name__
    inputs = [port.descriptor() for port in cls.ports.values() if isinstance(port, Input)]
    outputs = [
        port.output() if isinstance(port, Passthrough) else port.descriptor()
        for port in cls.ports.values()
        if isinstance(port, Output | Outputs | Passthrough)
    ]
    described = NodeType(
        type=own_name,
        description=(inspect.getdoc(cls) or "").partition("\n")[0],
        category=cls.category or cls.__module__.rpartition(".")[2],
        pure=cls.pure,
        listens_to=cls.listens_to,
        takes_signals=cls.takes_signals,
        calls=cls.calls,
        inputs=tuple(inputs),
        outputs=tuple(outputs),
    )
    for problem in _problems(described):
        raise InvalidNodeClass(f"{cls.__module__}.{cls.__qualname__}: {problem}")
    return described


def _problems(described: NodeType) -> list[str]:
    inputs = {port.key: port for port in described.inputs}
    keys = [port.key for port in described.inputs]
    keys += [port.key for port in described.outputs if not (port.key in inputs and inputs[port.key].passthrough)]
    found = [f"two ports are named {key!r}" for key in sorted({key for key in keys if keys.count(key) > 1})]
    found += [f"port names that start with '__' are reserved: {key!r}" for key in keys if key.startswith("__")]
    found += _misplaced_secrets(described)
    for port in described.inputs:
        if not port.required and port.default is not None:
            found += [str(error) for error in check_value(port.type, port.default, f"default of {port.key}")]
        if port.template_values is not None:
            values = inputs.get(port.template_values)
            if not isinstance(port.type, String) or values is None or not isinstance(values.type, Object):
                found.append(f"{port.key!r}: template_values needs a string port and names an object input")
        if port.expression and not isinstance(port.type, String):
            found.append(f"{port.key!r}: expression needs a string port")
    if described.listens_to is not None:
        found += _not_static(inputs, {described.listens_to}, "listens_to")
    if described.takes_signals is not None:
        found += _not_static(inputs, {described.takes_signals}, "takes_signals")
    for output in described.outputs:
        if output.keys_of is not None:
            found += _not_static(inputs, {output.keys_of}, f"output {output.key!r}")
            if output.keys_of in inputs and not isinstance(inputs[output.keys_of].type, Object):
                found.append(f"output {output.key!r}: keys_of names {output.keys_of!r}, which is not an object")
        if output.typed_by is not None:
            unknown = inputs_of(output.typed_by) - inputs.keys()
            found += [f"output {output.key!r}: typed_by names the unknown input {name!r}" for name in sorted(unknown)]
            static = static_inputs_of(output.typed_by) - unknown
            found += _not_static(inputs, static, f"output {output.key!r}")
    return found


def _misplaced_secrets(described: NodeType) -> list[str]:
    """Find secrets that could be written: in outputs, or in values that the engine copies."""
    found = []
    for port in described.inputs:
        if isinstance(port.type, Secret | Secrets):
            if port.passthrough:
                found.append(f"{port.key!r}: a secret cannot pass through: make it an Input")
            if port.default:
                found.append(f"{port.key!r}: a secret has no default")
        elif holds_secrets(port.type):
            found.append(f"{port.key!r}: a secret needs a port of its own, of type Secret() or Secrets()")
    found += [f"{port.key!r}: an output cannot be a secret" for port in described.outputs if holds_secrets(port.type)]
    return found


def _not_static(inputs: dict[str, InputPort], names: set[str], what: str) -> list[str]:
    return [
        f"{what}: the input {name!r} must be declared with static=True, since its value determines the node's ports"
        for name in sorted(names)
        if name not in inputs or not inputs[name].static
    ]
