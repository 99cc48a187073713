"""How nodes are written, registered and described."""

from __future__ import annotations

import types

import pytest
from tools.node_reference import markdown

from chaingraph_flow import (
    Any,
    Array,
    Boolean,
    Catalogue,
    DuplicateNodeType,
    Input,
    InvalidNodeClass,
    Node,
    NodeContext,
    Number,
    Object,
    Output,
    Outputs,
    Passthrough,
    Registry,
    RunContext,
    String,
    validate,
)
from chaingraph_flow.ports.derive import SameAs
from chaingraph_flow.registry import node_classes
from fixtures.flows.runs import BUILT_IN, MemoryRecorder, engine, flow, run_flow


class Shout(Node):
    """Says a text louder.

    And this is not for the catalogue.
    """

    type = "acme.Shout"
    text = Input(String(), required=True, description="What to say.")
    how_often = Input(Number(integer=True), default=1)
    words = Passthrough(Array(items=String()))
    result = Output(String())

    async def run(self, context: NodeContext) -> None:
        self.result = self.text.upper() * int(self.how_often)
        self.words = [*self.words, self.result]


async def test_custom_node_runs() -> None:
    run = await run_flow(
        "nodes: [{id: it, type: acme.Shout, inputs: {text: hi, howOften: 2, words: [a]}}]", registry=Registry([Shout])
    )
    assert run.result.outputs == {"it": {"words": ["a", "HIHI"], "result": "HIHI"}}


def test_node_class_declaration_defines_node_type() -> None:
    described = Shout.node_type
    assert (described.type, described.description, described.pure) == ("acme.Shout", "Says a text louder.", False)
    assert [port.key for port in described.inputs] == ["text", "howOften", "words"]
    assert [port.key for port in described.outputs] == ["words", "result"]
    assert described.inputs[1].default == 1


def test_node_subclass_inherits_ports() -> None:
    class Louder(Shout):
        """Louder."""

        mark = Input(String(), default="!")

    assert Louder.node_type.type == "Louder"
    assert [port.key for port in Louder.node_type.inputs] == ["text", "howOften", "words", "mark"]


async def test_node_context_has_identity_and_truncates_log() -> None:
    told: list[object] = []

    class Tell(Node):
        """Tells."""

        a = Input(String())
        b = Input(String())

        async def run(self, context: NodeContext) -> None:
            told.extend([
                context.execution_id, context.namespace, context.name, context.attempt, context.root_execution_id,
                context.parent_execution_id, context.depth, context.node_id, context.node_attempt,
                context.idempotency_key, sorted(context.given), context.event, dict(context.integration),
            ])  # fmt: skip
            context.log("x" * 70_000)

    recorder = MemoryRecorder()
    await engine("nodes: [{id: it, type: Tell, inputs: {b: x}}]", registry=Registry([Tell]), recorder=recorder).run()
    assert told == [
        "EXtest", "default", "test", 1, "EXroot", "", 0, "it", 1, "EXtest:it:1", ["b"], None, {},
    ]  # fmt: skip
    (log,) = recorder.named("node:debug-log-string")
    assert log["log"].endswith("(4464 characters more)")


def test_root_execution_is_its_own_root() -> None:
    context = NodeContext(RunContext("EX1"), "n", node_attempt=1, given=frozenset(), event=None, log=print)
    assert context.root_execution_id == "EX1"


def test_emission_copies_its_payload() -> None:
    context = NodeContext(RunContext("EX1"), "n", node_attempt=1, given=frozenset(), event=None, log=print)
    payload = {"a": [1]}
    context.emit("e", payload)
    payload["a"].append(2)
    assert context.emissions[0].payload == {"a": [1]}


def _declare(**attributes: object) -> None:
    async def run(self: Node, context: NodeContext) -> None:
        """Nothing."""

    types.new_class("Wrong", (Node,), exec_body=lambda namespace: namespace.update(attributes, run=run))


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        ({"a": Input(String()), "b": Output(String(), key="a")}, "two ports are named 'a'"),
        ({"a": Input(String(), key="__a")}, "start with '__'"),
        ({"a": Input(Number(minimum=1))}, "must be at least 1"),
        ({"a": Output(Any(), typed_by="schema")}, "unknown input 'schema'"),
        ({"schema": Input(Any()), "a": Output(Any(), typed_by="schema")}, "must be declared with static=True"),
        ({"a": Output(Any(), typed_by=SameAs(input="x"))}, "unknown input 'x'"),
        ({"a": Outputs(Boolean(), keys_of="cases")}, "'cases' must be declared with static=True"),
        ({"cases": Input(String(), static=True), "a": Outputs(Boolean(), keys_of="cases")}, "is not an object"),
        ({"a": Input(Any(), expression=True)}, "'a': expression needs a string port"),
        ({"listens_to": "event"}, "listens_to"),
        ({"type": Input(String())}, "name the port type_"),
    ],
)
def test_node_class_rejects_wrong_declaration(attributes: dict[str, object], message: str) -> None:
    with pytest.raises(InvalidNodeClass, match=message.replace("(", r"\(")):
        _declare(**attributes)


def test_registry_rejects_two_classes_of_one_type() -> None:
    class Other(Node):
        """Another one."""

        type = "acme.Shout"

        async def run(self, context: NodeContext) -> None:
            """Nothing."""

    with pytest.raises(DuplicateNodeType, match="defined by"):
        Registry([Shout, Other])
    with pytest.raises(DuplicateNodeType):
        Registry([Shout]).catalogue.merge(Registry([Other]).catalogue)
    assert len(Registry([Shout, Shout])) == 1


def test_entry_point_accepts_class_list_or_module() -> None:
    assert node_classes(Shout, "it") == [Shout]
    assert node_classes([Shout], "it") == [Shout]
    module = types.ModuleType("acme")
    module.__dict__.update(Shout=Shout, Node=Node, other=1)
    assert node_classes(module, "it") == [Shout]
    with pytest.raises(InvalidNodeClass, match="it must be a module"):
        node_classes(12, "it")


def test_registry_discovers_built_in_nodes() -> None:
    assert {"HTTP", "Text", "Number", "Branch", "Template", "EventListener"} <= set(BUILT_IN)


def test_catalogue_round_trips_through_json() -> None:
    catalogue = BUILT_IN.catalogue
    again = Catalogue.from_json(catalogue.to_json())
    assert dict(again) == dict(catalogue)
    assert again.hash == catalogue.hash
    assert again.hash != Registry([Shout]).catalogue.hash
    wrong = flow("nodes: [{id: a, type: Switch, inputs: {cases: 1}}, {id: b, type: Math}]")
    assert validate(wrong, again) == validate(wrong, catalogue) != []


def test_node_reference_has_valid_example_for_every_node() -> None:
    from chaingraph_flow.examples import EXAMPLES, SUBFLOWS

    page = markdown()
    assert set(EXAMPLES) == set(BUILT_IN)
    for type_, example in EXAMPLES.items():
        assert f"### {type_}\n" in page
        spec = flow(f"nodes:\n- {example}\nsubflows:{SUBFLOWS}")
        assert spec.nodes[0].type == type_
        assert validate(spec, BUILT_IN.catalogue) == [], type_


def test_built_in_nodes_describe_every_port() -> None:
    for node in BUILT_IN.catalogue.values():
        assert node.description.endswith("."), node.type
        described = {port.key: port.description for port in node.inputs}
        described |= {port.key: port.description for port in node.outputs}
        assert all(described.values()), f"{node.type}: {described}"


def test_outputs_by_key_pass_validation() -> None:
    class Split(Node):
        """Splits."""

        parts = Input(Object(), static=True)
        part = Outputs(String(), keys_of="parts")

        async def run(self, context: NodeContext) -> None:
            self.part = {"a": "x"}

    registry = Registry([Split])
    spec = "nodes: [{id: s, type: Split, inputs: {parts: {a: 1, b: 2}}}]"
    assert validate(flow(spec), registry.catalogue) == []
