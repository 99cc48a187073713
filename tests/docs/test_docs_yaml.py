"""Every YAML example of the documentation means to kubectl and the API server what it means to us."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml

from chaingraph_crds import names
from chaingraph_crds.flow import FlowSpec
from chaingraph_crds.yaml.reading import read
from chaingraph_flow import nodes
from chaingraph_flow.examples import SUBFLOWS
from chaingraph_flow.registry import Registry, node_classes
from chaingraph_flow.validation.validation import validate
from fixtures.cluster.control_plane import Kubectl
from fixtures.docs.pages import PAGES, blocks
from fixtures.paths import ROOT

_APPLICABLE = (names.API_VERSION, "v1")
_FLOW_HEAD = f"""\
apiVersion: {names.API_VERSION}
kind: Execution
metadata: {{name: example}}
spec:
  flow:
    nodes:
"""


def _manifest(text: str) -> str | None:
    """The block as objects to apply: as it is, or as a node of an Execution; None for Helm values and fragments."""
    documents = read(text).documents
    if all(isinstance(each, dict) and each.get("apiVersion") in _APPLICABLE for each in documents):
        return text
    [document] = documents
    first = document[0] if isinstance(document, list) else document
    if not isinstance(first, dict) or not {"id", "type"} <= set(first):
        return None
    lead = "    " if isinstance(document, list) else "    - "
    lines = text.rstrip("\n").split("\n")
    return _FLOW_HEAD + "\n".join([lead + lines[0], *(" " * len(lead) + each for each in lines[1:])]) + "\n"


def _examples() -> list[tuple[str, str]]:
    """Where each example stands, and what is applied."""
    found = [
        (f"{page.name}:{block.line}", made)
        for page in PAGES
        for block in blocks(page)
        if block.language in ("yaml", "yml") and (made := _manifest(block.text))
    ]
    return found + [
        (each.name, each.read_text(encoding="utf-8")) for each in sorted((ROOT / "examples").glob("*.yaml"))
    ]


@pytest.mark.integration
def test_kubectl_applies_every_example(kubectl: Kubectl, crds: None, namespace: str) -> None:
    examples = _examples()
    assert len(examples) > 60
    assert [where for where, text in examples if read(text).warnings] == []
    text = "---\n".join(each.rstrip("\n") + "\n" for _, each in examples)
    # Names are there more than once, and a dry run keeps nothing.
    arguments = ("create", "--dry-run=server", "--validate=strict", "-f", "-", "-o", "json")
    done = kubectl("-n", namespace, *arguments, input=text)
    shown = _objects(done.stdout)
    ours = read(text).documents
    assert len(shown) == len(ours)
    for theirs, own in zip(shown, ours, strict=True):
        if own["apiVersion"] == names.API_VERSION:
            assert _within(own["spec"], theirs["spec"]), f"{own['spec']}\nwas read as {theirs['spec']}"
    built_in = Registry(node_classes(nodes, "the built-in nodes")).catalogue
    for each in [each for each in shown if each["metadata"]["name"] == "example"]:
        spec = FlowSpec.model_validate({"subflows": yaml.safe_load(SUBFLOWS)} | each["spec"]["flow"])
        if all(node.type in built_in for node in spec.nodes):
            assert validate(spec, built_in) == []


@pytest.mark.integration
def test_nulls_are_dropped_by_apply_alone(kubectl: Kubectl, crds: None, namespace: str) -> None:
    """As docs/how-to/pass-data-between-nodes.md says."""
    values = {"a": None, "items": [None, {"b": None}]}
    flow = {"inputs": [{"name": "x"}], "nodes": [{"id": "n", "type": "Object", "inputs": {"value": values}}]}
    for number, (verb, kept) in enumerate({"create": True, "apply": False, "apply --server-side": True}.items()):
        name = f"nulls-{number}"
        item = {"apiVersion": names.API_VERSION, "kind": "Execution", "metadata": {"name": name}}
        text = json.dumps(item | {"spec": {"flow": flow, "inputs": {"x": values, "y": None}}})
        kubectl("-n", namespace, *verb.split(), "-f", "-", input=text)
        spec = json.loads(kubectl("-n", namespace, "get", "cgx", name, "-o", "json").stdout)["spec"]
        expected = values if kept else {"items": [None, {}]}
        assert spec["inputs"] == ({"x": expected, "y": None} if kept else {"x": expected}), verb
        assert spec["flow"]["nodes"][0]["inputs"] == {"value": expected}, verb


def _objects(text: str) -> list[dict[str, Any]]:
    decoder, found, text = json.JSONDecoder(), [], text.strip()
    while text:
        value, end = decoder.raw_decode(text)
        found.append(value)
        text = text[end:].lstrip()
    return found


def _within(ours: Any, theirs: Any) -> bool:
    """Whether theirs is ours, with what the API server adds by default."""
    if isinstance(ours, dict) and isinstance(theirs, dict):
        return all(name in theirs and _within(each, theirs[name]) for name, each in ours.items())
    if isinstance(ours, list) and isinstance(theirs, list):
        return len(ours) == len(theirs) and all(map(_within, ours, theirs))
    return bool(ours == theirs) and type(ours) is type(theirs)
