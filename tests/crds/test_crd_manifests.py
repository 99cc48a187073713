"""The CustomResourceDefinitions and the policy as generated: complete, bounded, and the same as the committed files."""

from pathlib import Path

import pytest
import yaml

from chaingraph_crds import names
from chaingraph_crds.definitions.manifests import crd_filename, crd_manifest, crd_manifests, crd_yaml
from chaingraph_crds.definitions.policies import POLICY_FILENAME, policy_manifests, policy_yaml
from fixtures.cluster.crd_schemas import parts, root_schema

FOLDER = Path(__file__).parents[2] / "crds"


def test_yaml_text_matches_manifests() -> None:
    assert [yaml.safe_load(crd_yaml(kind)) for kind in names.KINDS] == crd_manifests()
    assert list(yaml.safe_load_all(policy_yaml())) == policy_manifests()


def test_crds_folder_has_only_generated_files() -> None:
    written = {crd_filename(kind) for kind in names.KINDS} | {POLICY_FILENAME}
    assert {path.name for path in FOLDER.glob("*.yaml")} == written


@pytest.mark.parametrize("kind", names.KINDS)
def test_fields_have_sentence_descriptions(kind: str) -> None:
    for path, schema in parts(kind):
        if not path.endswith("[]"):
            assert schema["description"][-1] in ".)", path


@pytest.mark.parametrize("kind", names.KINDS)
def test_lists_strings_and_spec_maps_are_bounded(kind: str) -> None:
    """Otherwise the estimated cost of the CEL rules that compare them is without bound."""
    for path, schema in parts(kind):
        match schema.get("type"):
            case "array":
                assert "maxItems" in schema, path
                assert "x-kubernetes-list-type" in schema, path
            case "string":
                assert {"maxLength", "enum", "format"} & set(schema), path
            case "object" if path.startswith("spec"):
                assert "properties" in schema or "maxProperties" in schema, path


@pytest.mark.parametrize("kind", names.KINDS)
def test_no_text_of_a_spec_has_a_pattern_alone(kind: str) -> None:
    """The API server would show its regular expression and nothing else."""
    assert [path for path, schema in parts(kind) if path.startswith("spec") and "pattern" in schema] == []


@pytest.mark.parametrize("kind", names.KINDS)
def test_status_default_is_unobserved(kind: str) -> None:
    assert root_schema(kind)["properties"]["status"]["default"] == {"observedGeneration": -1}


def test_crds_define_names_columns_and_selectors() -> None:
    flow, execution = (manifest["spec"] for manifest in crd_manifests())
    assert flow["names"]["shortNames"] == ["cgf"]
    assert execution["names"]["shortNames"] == ["cgx"]
    assert flow["names"]["categories"] == execution["names"]["categories"] == ["chaingraph"]
    columns = execution["versions"][0]["additionalPrinterColumns"]
    assert [column["name"] for column in columns] == [
        "Phase",
        "Flow",
        "Done",
        "Total",
        "Waiting",
        "Attempt",
        "Current",
        "Worker",
        "Version",
        "Parent",
        "Message",
        "Age",
    ]
    assert [column["name"] for column in columns if column.get("priority")] == [
        "Attempt",
        "Current",
        "Worker",
        "Version",
        "Parent",
        "Message",
    ]
    assert [field["jsonPath"] for field in execution["versions"][0]["selectableFields"]] == [
        ".status.phase",
        ".spec.flowRef.name",
        ".spec.queue",
        ".status.rootExecutionID",
    ]


@pytest.mark.parametrize("kind", names.KINDS)
def test_columns_and_selectors_name_existing_fields(kind: str) -> None:
    version = crd_manifest(kind)["spec"]["versions"][0]
    known = {f".{path}" for path, _ in parts(kind)} | {".metadata.creationTimestamp"}
    paths = [column["jsonPath"] for column in version["additionalPrinterColumns"]]
    paths += [field["jsonPath"] for field in version.get("selectableFields", ())]
    for path in paths:
        start, _, rest = path.partition("[?(@.type==")
        assert (f"{start}[].{rest.partition(')].')[2]}" if rest else start) in known, path


def test_execution_crd_lists_immutable_fields() -> None:
    rules = [
        rule["fieldPath"]
        for _, schema in parts(names.EXECUTION_KIND)
        for rule in schema.get("x-kubernetes-validations", ())
        if rule["reason"] == "FieldValueForbidden"
    ]
    assert rules == [
        ".flowRef",
        ".flow",
        ".spawnedBy",
        ".inputs",
        ".events",
        ".integration",
        ".queue",
        ".resources",
    ]


def test_policy_compares_inputs_and_integration() -> None:
    [policy, binding, *_] = policy_manifests()
    assert [item["expression"] for item in policy["spec"]["validations"]] == [
        "object.spec.?inputs == oldObject.spec.?inputs",
        "object.spec.?integration == oldObject.spec.?integration",
    ]
    assert binding["spec"]["policyName"] == policy["metadata"]["name"]
