"""The admission policies for what the CRD's own rules cannot say.

`immutable-fields`: CEL in a CRD compares objects of unknown fields (`inputs`, `integration`) by their number of keys
and by the values of common keys: replacing a key by another one passes. A ValidatingAdmissionPolicy has no schema and
compares the whole. Without this policy nothing runs differently, because the operator keeps the original values; only
the resource would show something else.

`signals`: only here is the caller known. The user in `by` is the caller, or one that the caller may impersonate, so
that the recorded approver is true. An entry does not change. Users who may `patch` Executions without `update` may
change their signals alone.

`chaingraph up` applies them with the CRDs; `make generate` writes them to `crds/`.
"""

from typing import Any, Final

from chaingraph_crds import names
from chaingraph_crds.definitions.structural import PRESERVE, immutable_fields, structural_schema
from chaingraph_crds.execution import ExecutionSpec
from chaingraph_crds.messages.text import yaml_text

POLICY_NAME: Final = f"immutable-fields.{names.EXECUTION_CRD}"
SIGNALS_POLICY_NAME: Final = f"signals.{names.EXECUTION_CRD}"
POLICY_FILENAME: Final = f"{names.GROUP}_policies.yaml"
_METADATA: Final = ("labels", "annotations", "finalizers", "ownerReferences")
"""The metadata that a user can change."""


def policy_manifests() -> list[dict[str, Any]]:
    """Return the policies, each with its binding for all namespaces."""
    return [
        *_policy(POLICY_NAME, ["UPDATE"], {"validations": [_unchanged(field) for field in _unknown_and_immutable()]}),
        *_policy(SIGNALS_POLICY_NAME, ["CREATE", "UPDATE"], _signals()),
    ]


def policy_yaml() -> str:
    """Return the text of the committed file."""
    return yaml_text(*policy_manifests())


def _policy(name: str, operations: list[str], rules: dict[str, Any]) -> list[dict[str, Any]]:
    metadata = {
        "name": name,
        "labels": {"app.kubernetes.io/name": "chaingraph", "app.kubernetes.io/part-of": "chaingraph"},
    }
    resource = {
        "apiGroups": [names.GROUP],
        "apiVersions": [names.VERSION],
        "operations": operations,
        "resources": [names.EXECUTION_PLURAL],
    }
    policy = {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingAdmissionPolicy",
        "metadata": metadata,
        "spec": {"failurePolicy": "Fail", "matchConstraints": {"resourceRules": [resource]}, **rules},
    }
    binding = {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingAdmissionPolicyBinding",
        "metadata": metadata,
        "spec": {"policyName": name, "validationActions": ["Deny"]},
    }
    return [policy, binding]


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


def _signals() -> dict[str, Any]:
    others = [name for name in structural_schema(ExecutionSpec, "spec")["properties"] if name != "signals"]
    unchanged = [f"object.spec.?{name} == oldObject.spec.?{name}" for name in others]
    unchanged += [f"object.metadata.?{name} == oldObject.metadata.?{name}" for name in _METADATA]
    return {
        "variables": [
            _variable("before", "oldObject == null ? [] : oldObject.spec.?signals.orValue([])"),
            _variable(
                "added",
                "object.spec.?signals.orValue([]).filter(new, "
                "!variables.before.exists(old, old.id == new.id && old == new))",
            ),
            _variable("signalsAlone", f"oldObject != null && {' && '.join(unchanged)}"),
            _variable(
                "mayUpdate",
                f"authorizer.group('{names.GROUP}').resource('{names.EXECUTION_PLURAL}')"
                ".namespace(request.namespace).name(object.metadata.name).check('update').allowed()",
            ),
        ],
        "validations": [
            {
                "expression": "variables.added.all(new, !variables.before.exists(old, old.id == new.id))",
                "message": "an entry of spec.signals cannot change: add one with a new id",
                "reason": "Invalid",
            },
            {
                "expression": "variables.added.all(new, !has(new.by) || "
                f"(new.by.user == request.userInfo.username || {_may_impersonate('users', 'new.by.user')}) && "
                "new.by.?groups.orValue([]).all(each, each in request.userInfo.groups || "
                f"{_may_impersonate('groups', 'each')}))",
                "messageExpression": "'spec.signals: `by` has to be the user who sends the signal, which is ' + "
                "request.userInfo.username + ', and groups of that user'",
                "message": "spec.signals: `by` has to be the user who sends the signal, and groups of that user",
                "reason": "Forbidden",
            },
            {
                "expression": "oldObject == null || variables.signalsAlone || variables.mayUpdate",
                "message": "without the right to update executions, the right to patch them is for spec.signals alone",
                "reason": "Forbidden",
            },
        ],
    }


def _may_impersonate(resource: str, name: str) -> str:
    """Whether the caller could send it as that user, so that a restore of a backup can bring it."""
    return f"authorizer.group('').resource('{resource}').name({name}).check('impersonate').allowed()"


def _variable(name: str, expression: str) -> dict[str, str]:
    return {"name": name, "expression": expression}
