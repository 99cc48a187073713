"""YAML means the same to us as to kubectl, which reads each text here too (`label --local`: no server is asked)."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from chaingraph_cli.upstream import binaries
from chaingraph_crds.flow import FlowSpec
from chaingraph_crds.messages.field_errors import errors_of
from chaingraph_crds.yaml.nodes import YamlError
from chaingraph_crds.yaml.reading import read
from chaingraph_crds.yaml.scalars import asked_for
from chaingraph_crds.yaml.writing import written
from chaingraph_flow.registry import Registry
from chaingraph_flow.validation.inputs import bind_inputs
from chaingraph_flow.validation.validation import validate
from fixtures.flows.json_values import JSON

pytestmark = pytest.mark.integration

HEAD = "apiVersion: v1\nkind: X\nmetadata: {name: x}\nspec:\n"


def kubectl(text: str) -> list[Any] | str:
    """The `spec` of each document as kubectl reads it, or what it complains about."""
    program = str(binaries.ensure(["kubectl"])["kubectl"])
    done = subprocess.run(
        [program, "label", "--local", "-f", "-", "none-", "-o", "json"],
        input=text.encode("utf-8"),
        capture_output=True,
        env={"PATH": os.environ["PATH"], "KUBECONFIG": os.devnull, "HOME": "/nowhere"},
        timeout=60,
    )
    if done.returncode != 0:
        return done.stderr.decode()
    printed, found, decoder = done.stdout.decode().strip(), [], json.JSONDecoder()
    while printed:
        value, end = decoder.raw_decode(printed)
        found.append(value.get("spec"))
        printed = printed[end:].lstrip()
    return found


def ours(text: str) -> list[Any] | str:
    try:
        return [each.get("spec") for each in read(text).documents]
    except YamlError as error:
        return str(error)


def numbers(value: Any, change: Callable[[float], float]) -> Any:
    if isinstance(value, dict):
        return {name: numbers(each, change) for name, each in value.items()}
    if isinstance(value, list):
        return [numbers(each, change) for each in value]
    return change(value) if isinstance(value, int | float) and not isinstance(value, bool) else value


def as_kubernetes(value: Any) -> Any:
    """The value with whole numbers of more than 63 bits as kubectl rounds them: we keep their digits."""
    return numbers(value, lambda each: each if -(2**63) <= each < 2**63 else float(each))


def agree(text: str) -> None:
    theirs, read_here = kubectl(text), ours(text)
    if isinstance(theirs, str) or isinstance(read_here, str):
        assert isinstance(theirs, str), f"kubectl reads {theirs}, we say {read_here}"
        assert isinstance(read_here, str), f"kubectl says {theirs}, we read {read_here}"
        return
    assert json.dumps(as_kubernetes(read_here), sort_keys=True) == json.dumps(as_kubernetes(theirs), sort_keys=True)


SCALARS = """
y Y yes Yes YES yEs n N no NO on On ON off OFF oFF true True TRUE false tRUE null Null NULL ~ nil None
12:30 12:30:45 1:00 -1:30 190:20:30 52:54:00:44:49:56 00:11:22:33:44:55 0a:1b:2c
2021-10-30 2021-1-2 2021-10-30T12:00:00Z 2021-10-30t12:00:00.5+01:00 2001-12-14T21:59:43.10-05:00
0 00 -0 +0 07 017 08 0o17 0O17 0o8 0x1F 0XfF 0x 0b11 0B11 0b 0b2 0b-11 -0b11 -0x1f +5 -017 1_000 1__0 _1 0_7 0x_f
1.10 1. .5 -.5 +.5 . .. 1e3 1E3 1e+3 1e-3 1.5e300 1e400 -1e400 1e 1e5x .5_0 ._5 .5_ 1_0.5 1.e3 5. 1.0 -0.0 1e20 1e25
9223372036854775807 9223372036854775808 18446744073709551615 18446744073709551616 -9223372036854775808
-9223372036854775809 +9223372036854775808 0xffffffffffffffff 0xfffffffffffffffff
= <= 1.2.3 v1 1m 100Mi 0.1 a:b x# -- -1- +- 1+1 0.0.0.0 10.0.0.1/8
!!str&1 !!int&'12' !!float&12 !!bool&yes !!null&'' !!timestamp&2021-1-2 !!binary&aGVsbG8= !foo&12 !&12 'yes' "12" ''
"""

KEYS = """
y Y yes no NO n on off true ~x 1 1.5 017 0x10 1e3 1e6 123456.7 1234567.8 0.0001 0.00001 16777217.0 1e300 -1e300 12:30
2021-1-2 .inf 1_0 "y" '1' !!str&y 3.14159265358979 1e21 100000.0 0.1
"""


def test_scalars_and_keys_are_read_as_kubectl_reads_them() -> None:
    values = "".join(f"  - {each.replace('&', ' ')}\n" for each in SCALARS.split())
    agree(HEAD + values)
    agree(HEAD + "".join(f"  - {{? {each.replace('&', ' ')} : 1}}\n" for each in KEYS.split()))
    assert ours(HEAD + "  {mac: 52:54:00:44:49:56, time: 12:30, at: 2021-10-30, y: n, old: 017}") == [
        {"mac": "52:54:00:44:49:56", "time": "12:30", "at": "2021-10-30", "true": False, "old": 15}
    ]


DOCUMENTS = {
    "merge": "  base: &b {a: 1, b: 2}\n  late: {a: 5, <<: *b}\n"
    "  early: {<<: *b, a: 5}\n  list: {<<: [*b, {b: 7, c: 8}]}\n",
    "anchors": "  a: &x [1, &y {n: y}]\n  b: *x\n  *y2 : 1\n".replace("*y2", "&k key"),
    "alias key": "  - &k name\n  - {*k : 1}\n",
    "duplicate": "  a: 1\n  a: 2\n",
    "texts": "  a: |\n    x\n    ---\n    y\n  b: >-\n    p\n    q\n\n    r\n"
    "  c: \"a\\\n    b\\u00e4\"\n  d: 'it''s'\n",
    "flow": "  a: [x: 1, {y: 2}, [z]]\n  b: {x:1, q: 2}\n  c: [a:b]\n",
    "several": "  a: 1\n---\n# nothing\n---\n" + HEAD + "  b: 2\n--- # and\n" + HEAD + "  c: 3\n---\n",
    "sets": "  a: !!set {x, y}\n  b: !!omap [x: 1]\n  c: !own {z: 1}\n  d: !own [1]\n",
    "windows": "  a: 1\r\n  b: |\r\n    x\r\n    y\r\n",
    "comments": "  a: x#y\n  b: x # y\n  c: -\t1\n",
    "unicode": "  a: \U0001f600\n  b: 'x\u2028y'\n  \u00e4: 1\n",
    "empty values": "  a:\n  b: ''\n  c: []\n  d: {}\n  e: {x}\n",
}
REFUSED = {
    "null key": "  ~: 1\n",
    "list key": "  [a]: 1\n",
    "map key": "  {a: b}: 1\n",
    "large key": "  18446744073709551615: 1\n",
    "infinity": "  a: .inf\n",
    "not a number": "  a: [.NaN]\n",
    "wrong tag": "  a: !!int x\n",
    "float as int": "  a: !!int 1.5\n",
    "wrong binary": "  a: !!binary a\n",
    "own alias": "  a: &a [*a]\n",
    "no anchor": "  a: *b\n",
    "merged text": "  <<: 1\n",
    "text after dashes": "  a: 1\n--- b\n",
    "tab": "\ta: 1\n",
    "control": "  a: \x01\n",
    "surrogate": '  a: "\\ud83d"\n',
    "percent": "  a: %x\n",
    "dash": "  a: - x\n",
    "open": "  a: [1\n",
    "indent": "  a: 1\n b: 2\n",
    "colons": "  a: b: c\n",
    "bomb": "  a: &a [1,1,1,1,1,1,1,1,1,1]\n"
    + "".join(f"  {b}: &{b} [{', '.join([f'*{a}'] * 10)}]\n" for a, b in zip("abcdef", "bcdefg", strict=True)),
}


def test_documents_are_read_as_kubectl_reads_them() -> None:
    for text in DOCUMENTS.values():
        agree(HEAD + text)
    item = '{"apiVersion": "v1", "kind": "X", "metadata": {"name": "x"}, "spec": %s}'
    for spec in ('{"a": 1.0, "b": 1e3, "y": true, "c": "12:30", "d": null}', '{"a": 1, "a": 2}', "[1.5, -0.0, 1e21]"):
        agree(item % spec)
    agree(item % "1" + "\n" + item % "2")
    agree("\ufeff" + HEAD + "  a: 1\n")
    for name, text in REFUSED.items():
        said = ours(HEAD + text)
        assert isinstance(said, str), f"{name}: we read {said}"
        assert said.startswith("line "), f"{name}: {said}"
        assert isinstance(kubectl(HEAD + text), str), name
    for text in (
        '{"a": NaN}',
        '{"a": 1e999}',
        '{"a": 1} {"a": 2} x',
        "a: 1\n...\nb: 2\n",
        "a: 1\n%YAML 1.1\n---\n",
        "[" * 600 + "]" * 600,
    ):
        with pytest.raises(YamlError):
            read(text)


_PHASES = (Phase.explicit, Phase.generate)
"""No shrinking: each try is a kubectl."""
_CHARACTERS = st.one_of(st.sampled_from("0123456789abfxoeE+-_.:"), st.sampled_from("yYnNTtF~=<&*!?|>'\"%@`#{}[],/ \t"))
_WORD = st.one_of(st.text(st.sampled_from("._019eE+-xbo"), max_size=7), st.text(_CHARACTERS, max_size=8))


@settings(max_examples=12, phases=_PHASES)
@given(st.lists(_WORD, min_size=60, max_size=60))
def test_any_scalar_is_read_as_kubectl_reads_it(words: list[str]) -> None:
    readable = [each for each in words if not isinstance(ours(f"{HEAD}  - {each}\n"), str)]
    agree(HEAD + "".join(f"  - {each}\n" for each in readable))


@settings(max_examples=12, phases=_PHASES)
@given(st.lists(JSON, min_size=10, max_size=10), st.lists(_WORD, min_size=30, max_size=30))
def test_kubectl_reads_what_we_write(values: list[Any], words: list[str]) -> None:
    given = [*values, words, dict.fromkeys(words, 1), "12:30", ["y", "1e3", "017", "0o7", "1_0", ".5_0", "~", ""]]
    text = HEAD + "".join(f"  {line}\n" for line in written(given).strip().split("\n"))
    theirs = kubectl(text)
    assert not isinstance(theirs, str), theirs
    assert as_kubernetes(theirs[0]) == as_kubernetes(ours(text)[0])
    assert numbers(theirs[0], float) == numbers(given, float)


def test_errors_ask_for_words_without_quotes() -> None:
    def said(text: str) -> list[str]:
        spec = FlowSpec.model_validate(read(text).documents[0])
        return [str(each) for each in validate(spec, Registry.discover().catalogue)]

    assert said(
        "nodes: [{id: a, type: Math, inputs: {n: 1, a: 1, b: 2}}, {id: b, type: Text, inputs: {value: on}}]"
    ) == [
        "spec.nodes[0].inputs.false: Math has no input 'false'; did you write n, no or off without quotes?",
        "spec.nodes[1].inputs.value: must be a string, is a boolean; did you write y, yes or on without quotes?",
    ]
    assert "did you write" not in str(said("nodes: [{id: a, type: Math, inputs: {c: 1, a: 1, b: 2}}]"))
    assert str(bind_inputs([], read("y: 1").documents[0])[1][0]).endswith("did you write y, yes or on without quotes?")
    with pytest.raises(ValidationError) as refused:
        FlowSpec.model_validate(read("nodes: [{id: a, type: Text, off: 1}]").documents[0])
    assert errors_of(refused.value) == [
        "spec.nodes[0].false: unknown field; did you write n, no or off without quotes?"
    ]


def test_warnings_name_the_line_and_the_word() -> None:
    warnings = read("a: 1\nitems:\n- {n: 1}\n---\non: 2\nitems: [1]\nitems: [2]\n'y': 1\ntrue: 3\n").warnings
    assert warnings == [
        'line 3: the key n is read as false, as kubectl does. Put it in quotes, "n"',
        'line 5: the key on is read as true, as kubectl does. Put it in quotes, "on"',
        "line 7: duplicate key 'items', the last one is used",
        "line 9: duplicate key 'true', the last one is used",
    ]
    assert asked_for("false") == "; did you write n, no or off without quotes?"
    assert asked_for("fales") == ""
