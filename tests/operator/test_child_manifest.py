"""The manifest of a child's resource: what it shows, what it leaves out and says so, whom it belongs to."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import orjson
from hypothesis import given
from hypothesis import strategies as st

from chaingraph_crds.execution import ExecutionSpec
from chaingraph_operator.decide.child_manifest import MAX_SHOWN, manifest
from chaingraph_store.children.child_rows import ChildResource
from chaingraph_store.ids import child_execution_id, execution_id

PARENT = execution_id("0b8e3f0c-0000-4000-8000-000000000001")
ROOT = execution_id("0b8e3f0c-0000-4000-8000-000000000000")
CHILD = ChildResource(
    id=child_execution_id(PARENT, 3),
    namespace="team",
    name="nightly-3",
    parent_id=PARENT,
    parent_uid="0b8e3f0c-0000-4000-8000-000000000001",
    parent_name="nightly",
    root_id=ROOT,
    position=3,
    subflow="",
    called_by="",
    flow_name="report",
    inputs={"city": "Bern"},
    events=[{"name": "item", "payload": {"id": 7}}],
    integration={"ticket": "T-1"},
    options={"maxConcurrency": 5, "debug": True, "breakpoints": ["of-the-parent"]},
    breakpoints=["a"],
    queue="gpu",
    priority=7,
    start_timeout_s=9,
    on_stop="Continue",
    resources="Create",
)

json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
long_values = st.integers(0, 3 * MAX_SHOWN).map(lambda length: "x" * length)


def spec_of(child: ChildResource) -> dict[str, Any]:
    return dict(manifest(child)["spec"])


def test_manifest_shows_the_childs_spec_and_its_owner() -> None:
    assert manifest(CHILD) == {
        "apiVersion": "chaingraph.dev/v1alpha1",
        "kind": "Execution",
        "metadata": {
            "namespace": "team",
            "name": "nightly-3",
            "labels": {
                "chaingraph.dev/execution-id": CHILD.id,
                "chaingraph.dev/parent-id": PARENT,
                "chaingraph.dev/root-id": ROOT,
            },
            "ownerReferences": [
                {
                    "apiVersion": "chaingraph.dev/v1alpha1",
                    "kind": "Execution",
                    "name": "nightly",
                    "uid": CHILD.parent_uid,
                    "controller": True,
                    "blockOwnerDeletion": False,
                }
            ],
        },
        "spec": {
            "flowRef": {"name": "report"},
            "spawnedBy": {
                "executionID": CHILD.id,
                "parentExecutionID": PARENT,
                "parentName": "nightly",
                "position": 3,
            },
            "inputs": {"city": "Bern"},
            "events": [{"name": "item", "payload": {"id": 7}}],
            "integration": {"ticket": "T-1"},
            "options": {"maxConcurrency": 5, "debug": True, "breakpoints": ["a"]},
            "queue": "gpu",
            "priority": 7,
            "startTimeoutSeconds": 9,
            "children": {"resources": "Create", "onStop": "Continue"},
        },
    }


def test_child_of_an_inline_flow_names_no_flow() -> None:
    spec = spec_of(replace(CHILD, flow_name="", inputs={}, integration={}, breakpoints=[]))
    assert not {"flowRef", "flow", "inputs", "integration"} & spec.keys()
    assert "breakpoints" not in spec["options"], "those of the parent's beginning are not its own"


def test_child_does_not_inherit_the_parents_expiry() -> None:
    assert "ttlSecondsAfterFinished" not in spec_of(CHILD)


def test_long_payload_is_omitted_with_an_annotation() -> None:
    limit, more = "x" * (MAX_SHOWN - 2), "x" * (MAX_SHOWN - 1)
    shown = manifest(replace(CHILD, events=[{"name": "item", "payload": limit}]))
    assert shown["spec"]["events"] == [{"name": "item", "payload": limit}]
    assert "annotations" not in shown["metadata"]
    shown = manifest(replace(CHILD, events=[{"name": "item", "payload": more}]))
    assert shown["spec"]["events"] == [{"name": "item"}]
    assert shown["metadata"]["annotations"] == {"chaingraph.dev/payload-left-out": f"{MAX_SHOWN + 1} bytes"}


def test_values_that_kubernetes_would_round_are_omitted_with_an_annotation() -> None:
    shown = manifest(
        replace(CHILD, inputs={"n": 2**63, "m": 2**63 - 1}, events=[{"name": "i", "payload": [2**64 - 1]}])
    )
    assert (shown["spec"]["inputs"], shown["spec"]["events"]) == ({"m": 2**63 - 1}, [{"name": "i"}])
    assert shown["metadata"]["annotations"].keys() == {
        "chaingraph.dev/payload-left-out",
        "chaingraph.dev/inputs-left-out",
    }


def test_long_inputs_are_omitted_singly_with_an_annotation() -> None:
    long = {f"long-{number:02}": "x" * MAX_SHOWN for number in range(22)}
    shown = manifest(replace(CHILD, inputs={"city": "Bern"} | dict(list(long.items())[:2])))
    assert shown["spec"]["inputs"] == {"city": "Bern"}
    said = f"long-00: {MAX_SHOWN + 2} bytes, long-01: {MAX_SHOWN + 2} bytes"
    assert shown["metadata"]["annotations"] == {"chaingraph.dev/inputs-left-out": said}
    shown = manifest(replace(CHILD, inputs=long))
    assert "inputs" not in shown["spec"]
    assert shown["metadata"]["annotations"]["chaingraph.dev/inputs-left-out"].endswith("bytes, and 2 more")


@given(
    inputs=st.dictionaries(st.text(max_size=10), json_values | long_values, max_size=5),
    payload=json_values | long_values,
    flow=st.sampled_from(["", "report"]),
)
def test_manifest_is_valid_bounded_and_annotates_omissions(inputs: dict[str, Any], payload: Any, flow: str) -> None:
    made = manifest(replace(CHILD, inputs=inputs, events=[{"name": "item", "payload": payload}], flow_name=flow))
    spec = ExecutionSpec.model_validate(made["spec"])
    assert spec.spawned_by is not None
    annotations = made["metadata"].get("annotations", {})
    assert (spec.inputs == inputs) == ("chaingraph.dev/inputs-left-out" not in annotations)
    assert (spec.events[0].payload == payload) == ("chaingraph.dev/payload-left-out" not in annotations)
    assert len(orjson.dumps(made)) < 7 * MAX_SHOWN
