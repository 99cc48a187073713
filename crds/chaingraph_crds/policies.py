"""The admission policy for the one gap in the CRD's own rules.

CEL in a CRD compares objects of unknown fields (`inputs`, `integration`) by their number of keys and by the values of
common keys: replacing a key by another one passes. A ValidatingAdmissionPolicy has no schema and compares the whole.
Without the policy nothing runs differently, because the operator keeps the original values; only the resource would
show something else.

`chaingraph up` applies it with the CRDs; `make generate` writes it to `crds/`.
"""

from typing import Any, Final

from chaingraph_crds import names
from chaingraph_crds.execution import ExecutionSpec
from chaingraph_crds.structural import PRESERVE, immutable_fields, structural_schema
from chaingraph_crds.text import yaml_text

POLICY_NAME: Final = f"immutable-fields.{names.EXECUTION_CRD}"
POLICY_FILENAME: Final = f"{names.GROUP}_policies.yaml"


def policy_manifests() -> list[dict[str, Any]]:
    """Return the policy, and its binding for all namespaces."""
    metadata = {
        "name": POLICY_NAME,
        "labels": {"app.kubernetes.io/name": "chaingraph", "app.kubernetes.io/part-of": "chaingraph"},
    }
    policy = {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingAdmissionPolicy",
        "metadata": metadata,
        "spec": {
            "failurePolicy": "Fail",
            "matchConstraints": {
                "resourceRules": [
                    {
                        "apiGroups": [names.GROUP],
                        "apiVersions": [names.VERSION],
                        "operations": ["UPDATE"],
                        "resources": [names.EXECUTION_PLURAL],
                    }
                ]
            },
            "validations": [_unchanged(field) for field in _unknown_and_immutable()],
        },
    }
    binding = {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingAdmissionPolicyBinding",
        "metadata": metadata,
        "spec": {"policyName": POLICY_NAME, "validationActions": ["Deny"]},
    }
    return [policy, binding]


def policy_yaml() -> str:
    """Return the text of the committed file."""
    return yaml_text(*policy_manifests())


def _unknown_and_immutable() -> list[str]:
    properties = structural_schema(ExecutionSpec, "spec")["properties"]
    return [
        name
        for name in immutable_fields(ExecutionSpec)
        if properties[name].get("type") == "object" and properties[name].get(PRESERVE)
    ]


def _unchanged(field: str) -> dict[str, str]:
    return {
        "expression": f"object.spec.?{field} == oldObject.spec.?{field}",
        "message": f"spec.{field} is immutable: create another Execution instead",
        "reason": "Invalid",
    }
