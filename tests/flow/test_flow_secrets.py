"""Secrets in flows: references are all that a flow has, and nothing that leaves the code of a node has a value."""

from __future__ import annotations

import base64
from typing import Any
from urllib.parse import quote

import orjson
import pytest

from chaingraph_flow import Any as AnyType
from chaingraph_flow import (
    EngineOptions,
    FlowOutcome,
    Input,
    InvalidNodeClass,
    Node,
    NodeContext,
    NodeFailed,
    Object,
    Output,
    Passthrough,
    Registry,
    Secret,
    Secrets,
    String,
    bind_inputs,
    validate,
)
from fixtures.flows.runs import BUILT_IN, MemoryRecorder, engine, flow
from fixtures.flows.vault import REFERENCE, Vault, everything, run

TOKEN = 'tok"en/+é-8f3a91c07b'
PLAIN = "s3cr3t-8f3a91c07b-token"


class Leak(Node):
    """Gives a secret away in every way."""

    secret = Input(Secret(), required=True)
    way = Input(String(), default="output")
    text = Output(String(), optional=True)
    whole = Output(AnyType(), optional=True)

    def run(self, context: NodeContext) -> None:
        value = self.secret.get_secret_value()
        shapes = {
            "plain": value,
            "base64": base64.b64encode(f"user:{value}".encode()).decode(),
            "urlsafe": base64.urlsafe_b64encode(f"u:{value}:x".encode()).decode(),
            "url": f"https://x/?t={quote(value, safe='')}&u=1",
            "json": orjson.dumps({"token": value}).decode(),
            "nested": [{"deep": [value, {value: 1}]}],
            "shown": f"{self.secret!r} {self.secret}",
        }
        context.log(f"log of {value}")
        self.text, self.whole = f"a {value} b", shapes
        context.emit("leaked", shapes)
        if self.way == "fail":
            raise NodeFailed(f"{'x' * 4080}{value}", details=shapes)
        if self.way == "raise":
            raise ValueError(value)


class Flaky(Node):
    """Fails until the secret is the right one."""

    secret = Input(Secret(), required=True)
    result = Output(String())

    async def run(self, context: NodeContext) -> None:
        if self.secret.get_secret_value() != "the-second-value":
            raise NodeFailed("401")
        self.result = "ok"


NODES = BUILT_IN.merge(Registry([Leak, Flaky]))


def traces_of(value: str) -> list[str]:
    return [
        value,
        orjson.dumps(value)[1:-1].decode(),
        quote(value, safe=""),
        base64.b64encode(f"user:{value}".encode()).decode().rstrip("=")[8:-1],
        base64.urlsafe_b64encode(f"u:{value}:x".encode()).decode()[4:-4],
    ]


@pytest.mark.parametrize("value", [TOKEN, PLAIN], ids=["odd characters", "letters"])
@pytest.mark.parametrize("way", ["output", "fail", "raise"])
async def test_nothing_that_leaves_a_node_has_its_secret(way: str, value: str) -> None:
    spec = f"""
    inputs: [{{name: token, type: secret, required: true}}]
    outputs: [{{name: text, from: leak.text}}, {{name: error, from: leak.__error}}]
    nodes:
      - {{id: leak, type: Leak, inputs: {{way: {way}}}, retry: {{maxAttempts: 2, backoffSeconds: 0}}}}
      - {{id: shown, type: JSONWrite}}
    edges:
      - {{from: inputs.token, to: leak.secret}}
      - {{from: leak.whole, to: shown.value}}
    """
    result, recorder = await run(spec, Vault(token=value), NODES, token=REFERENCE)
    assert result.outcome is FlowOutcome.COMPLETED
    said = everything(result, recorder)
    assert "log of ***" in said
    for each in traces_of(value):
        assert each not in said
    if way == "output":
        assert recorder.of("leak").outputs["text"] == "a *** b"
        assert recorder.of("leak").outputs["whole"]["shown"].count("**********") == 2, "its type hides it"
    if way == "fail":
        assert "x" * 4080 + "***" in said, "it is removed before the message is cut"


async def test_rotated_secret_is_seen_by_the_next_try() -> None:
    vault = Vault(token="the-first-value")
    spec = """
    outputs: [{name: result, from: flaky.result}]
    nodes:
      - id: flaky
        type: Flaky
        inputs: {secret: {secretKeyRef: {name: vault, key: token}}}
        retry: {maxAttempts: 3, backoffSeconds: 0.05}
    """
    vault.rotates_to["token"] = "the-second-value"
    result, recorder = await run(spec, vault, NODES)
    assert result.outputs == {"result": "ok"}
    assert vault.asked == ["token", "token"]
    assert recorder.of("flaky").attempts == 2


async def test_missing_secret_fails_the_node_with_its_reason() -> None:
    spec = """
    outputs: [{name: reason, from: leak.__error.reason}]
    nodes: [{id: leak, type: Leak, inputs: {secret: {secretKeyRef: {name: vault, key: none}}}}]
    """
    result, recorder = await run(spec, Vault(), NODES)
    assert result.outputs == {"reason": "SecretKeyNotFound"}
    assert recorder.of("leak").error == "Secret 'vault' has no key 'none'"


async def test_short_secret_is_refused() -> None:
    spec = "nodes: [{id: leak, type: Leak, inputs: {secret: {secretKeyRef: {name: vault, key: token}}}}]"
    result, recorder = await run(spec, Vault(token="12345"), NODES)
    assert (result.outcome, recorder.of("leak").reason) == (FlowOutcome.FAILED, "SecretInvalid")
    assert "fewer than 6 characters" in recorder.of("leak").error
    assert "12345" not in everything(result, recorder)


async def test_reference_in_a_plain_value_stays_a_reference() -> None:
    vault = Vault(token=PLAIN)
    spec = """
    outputs: [{name: value, from: plain.value}]
    nodes: [{id: plain, type: Object, inputs: {value: {secretKeyRef: {name: vault, key: token}}}}]
    """
    result, _ = await run(spec, vault, NODES)
    assert result.outputs == {"value": REFERENCE}
    assert vault.asked == []


INVALID = [
    ("hunter2-hunter2", "", "must be a reference to a Secret"),
    (1234567890123456789012345, "", "and is a number"),
    ({"secretKeyRef": "hunter2-hunter2"}, ".secretKeyRef", "must be an object with name and key"),
    ({"secretKeyRef": {"name": "api"}}, ".secretKeyRef.key", "and is missing"),
    ({"secretKeyRef": {"name": "hunter2 hunter2", "key": "k"}}, ".secretKeyRef.name", "the name of a Secret"),
    (
        {"secretKeyRef": {"name": "api", "key": "k", "namespace": "hunter2-hunter2"}},
        ".secretKeyRef.namespace",
        "the namespace of the execution: remove this field",
    ),
    ({"secretKeyRef": {"name": "a", "key": "k"}, "secretFileRef": {"name": "f"}}, "", "with one field"),
    ({"secretFileRef": {"name": "../hunter2-hunter2"}}, ".secretFileRef.name", "not start with '..'"),
    ({"secretFileRef": {"name": ".."}}, ".secretFileRef.name", "not start with '..'"),
    ({"hunter2-hunter2": True}, "", "with one field"),
]


@pytest.mark.parametrize(("value", "place", "message"), INVALID)
def test_invalid_reference_is_refused_without_repeating_it(value: Any, place: str, message: str) -> None:
    declared = flow("inputs: [{name: token, type: secret}]\nnodes: [{id: a, type: Text}]")
    _, errors = bind_inputs(declared.inputs, {"token": value})
    [error] = errors
    assert error.path == f"spec.inputs.token{place}"
    assert message in error.message
    spec = flow("nodes: [{id: leak, type: Leak}]")
    spec.nodes[0].inputs["secret"] = value
    [error] = validate(spec, NODES.catalogue)
    assert error.path == f"spec.nodes[0].inputs.secret{place}"
    assert "hunter2" not in str(errors) + str(error)
    assert "123456789" not in str(errors) + str(error)


def test_default_of_a_secret_input_is_a_reference() -> None:
    nodes = "nodes: [{id: a, type: Text}]"
    good = f"inputs: [{{name: t, type: secret, default: {{secretKeyRef: {{name: a, key: b}}}}}}]\n{nodes}"
    assert validate(flow(good), NODES.catalogue) == []
    [error] = validate(flow(f"inputs: [{{name: t, type: secret, default: hunter2}}]\n{nodes}"), NODES.catalogue)
    assert error.path == "spec.inputs[0].default"
    assert "hunter2" not in str(error)


@pytest.mark.parametrize(
    ("edge", "told"),
    [
        ("{from: inputs.token, to: text.value}", "which only goes to ports for secrets"),
        ("{from: inputs.token, to: json.value}", "which only goes to ports for secrets"),
        ("{from: inputs.token, to: tpl.values.token}", "which only goes to ports for secrets"),
        ("{from: inputs.token, to: http.headers.X}", "which only goes to ports for secrets"),
        ("{from: inputs.token, to: http.body}", "which only goes to ports for secrets"),
        ("{from: inputs.token, to: http.__execute}", "which only goes to ports for secrets"),
        ("{from: inputs.token.secretKeyRef, to: json.value}", "has no 'secretKeyRef'"),
        ("{from: inputs.text, to: http.bearerToken}", "needs a secret"),
        ("{from: inputs.anything, to: http.bearerToken}", "needs a secret"),
        ("{from: inputs.object, to: http.secretHeaders}", "needs secrets by name"),
        ("{from: inputs.text, to: http.secretHeaders.X}", "needs a secret"),
        ("{from: json.text, to: http.bearerToken}", "needs a secret"),
    ],
)
def test_secret_goes_only_from_a_secret_input_to_a_port_for_secrets(edge: str, told: str) -> None:
    spec = flow(
        f"""
    inputs:
      - {{name: token, type: secret}}
      - {{name: text, type: string}}
      - {{name: object, type: object}}
      - {{name: anything}}
    nodes:
      - {{id: text, type: Text}}
      - {{id: json, type: JSONWrite}}
      - {{id: tpl, type: Template, inputs: {{template: "x"}}}}
      - {{id: http, type: HTTP, inputs: {{baseUri: "https://example.com"}}}}
    edges: [{edge}]
    """
    )
    [error] = validate(spec, NODES.catalogue)
    assert told in error.message, error


def test_secret_is_no_type_of_a_schema() -> None:
    schema = "{type: object, properties: {a: secret}}"
    spec = flow(f"nodes: [{{id: http, type: HTTP, inputs: {{baseUri: 'https://x', schema: {schema}}}}}]")
    [error] = validate(spec, NODES.catalogue)
    assert error.path == "spec.nodes[0].inputs.schema"
    assert "cannot be described by a schema" in error.message


def test_secret_of_an_own_node_is_an_input_without_default() -> None:
    with pytest.raises(InvalidNodeClass, match="an output cannot be a secret"):

        class Out(Node):
            value = Output(Secret())

            def run(self, context: NodeContext) -> None: ...

    with pytest.raises(InvalidNodeClass, match="cannot pass through"):

        class Through(Node):
            value = Passthrough(Secret())

            def run(self, context: NodeContext) -> None: ...

    with pytest.raises(InvalidNodeClass, match="a port of its own"):

        class Inner(Node):
            value = Input(Object(properties={"a": Secret()}))

            def run(self, context: NodeContext) -> None: ...


async def test_absent_secrets_are_empty() -> None:
    seen: list[Any] = []

    class Optional(Node):
        one = Input(Secret())
        many = Input(Secrets())

        def run(self, context: NodeContext) -> None:
            seen.extend((bool(self.one), self.one.get_secret_value(), self.many))

    made = engine(
        "inputs: [{name: t, type: secret}]\nnodes: [{id: o, type: Optional}]\n"
        "edges: [{from: inputs.t, to: o.one}, {from: inputs.t, to: o.many.x}]",
        registry=Registry([Optional]),
        options=EngineOptions(secrets=Vault()),
    )
    assert (await made.run()).outcome is FlowOutcome.COMPLETED
    assert seen == [False, "", {}]


async def test_secret_as_an_output_fails_the_node() -> None:
    class Whole(Node):
        secret = Input(Secret())
        value = Output(AnyType())

        def run(self, context: NodeContext) -> None:
            self.value = {"it": self.secret}

    recorder = MemoryRecorder()
    made = engine(
        "nodes: [{id: w, type: Whole, inputs: {secret: {secretKeyRef: {name: vault, key: token}}}}]",
        registry=Registry([Whole]),
        recorder=recorder,
        options=EngineOptions(secrets=Vault(token=PLAIN)),
    )
    result = await made.run()
    assert (recorder.of("w").reason, PLAIN in everything(result, recorder)) == ("InvalidOutput", False)


async def test_concealed_text_is_removed_as_well() -> None:
    class Login(Node):
        secret = Input(Secret())
        value = Output(String())

        def run(self, context: NodeContext) -> None:
            session = self.secret.get_secret_value().upper()
            context.conceal(session)
            context.log(f"session {session}")
            self.value = session

    recorder = MemoryRecorder()
    made = engine(
        "nodes: [{id: w, type: Login, inputs: {secret: {secretKeyRef: {name: vault, key: token}}}}]",
        registry=Registry([Login]),
        recorder=recorder,
        options=EngineOptions(secrets=Vault(token=PLAIN)),
    )
    result = await made.run()
    assert recorder.of("w").outputs == {"value": "***"}
    assert PLAIN.upper() not in everything(result, recorder)


PAGE = """
subflows:
  - name: page
    inputs: [{name: TOKEN, type: secret}]
    outputs: [{name: OUT, from: leak.text}, {name: done, from: leak.__success}]
    nodes: [{id: leak, type: Leak}]
    edges: [{from: inputs.TOKEN, to: leak.secret}]
"""


async def test_call_passes_a_reference_on_and_each_node_resolves_it() -> None:
    vault = Vault(token=PLAIN)
    spec = f"""
    inputs: [{{name: token, type: secret, required: true}}]
    outputs: [{{name: results, from: each.results}}]
    {PAGE.replace("TOKEN", "token").replace("OUT", "out").replace(chr(10), chr(10) + "    ")}
    nodes: [{{id: each, type: ForEach, inputs: {{subflow: page, items: [1, 2]}}}}]
    edges: [{{from: inputs.token, to: each.token}}]
    """
    spec = spec.replace("{name: token, type: secret}]", "{name: token, type: secret}, {name: item}, {name: index}]")
    result, recorder = await run(spec, vault, NODES, token=REFERENCE)
    assert [each["out"] for each in result.outputs["results"]] == ["a *** b"] * 2
    assert vault.asked == ["token", "token"]
    assert PLAIN not in everything(result, recorder)


def test_call_takes_references_alone() -> None:
    assert NODES.catalogue["Call"].secret_inputs == frozenset()
    page = PAGE.replace("TOKEN", "token").replace("OUT", "out")
    spec = flow(f"{page}nodes: [{{id: c, type: Call, inputs: {{subflow: page, token: 1234567890123456789012345}}}}]")
    [error] = validate(spec, NODES.catalogue)
    assert error.path == "spec.nodes[0].inputs.token"
    assert "1234567" not in error.message


def test_loop_does_not_make_a_secret_of_an_output() -> None:
    page = PAGE.replace("TOKEN", "token").replace("OUT", "token")
    spec = flow(f"{page}nodes: [{{id: c, type: Repeat, inputs: {{subflow: page, until: done}}}}]")
    [error] = validate(spec, NODES.catalogue)
    assert "its output 'token' would be the secret of the next round" in error.message


def test_items_of_a_loop_are_secrets_only_if_the_flow_has_them() -> None:
    page = PAGE.replace("TOKEN", "item").replace("OUT", "out")
    spec = flow(
        f"inputs: [{{name: rows, type: array}}]\n{page}"
        "nodes: [{id: c, type: ForEach, inputs: {subflow: page}}]\nedges: [{from: inputs.rows, to: c.items}]"
    )
    [error] = validate(spec, NODES.catalogue)
    assert "its items: needs a secret" in error.message
