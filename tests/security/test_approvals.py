"""Threat: an approval that nobody gave. The API server knows the caller, so it alone can say who approved."""

from __future__ import annotations

import json
from typing import Any

import pytest

from fixtures.cluster.user import User, execution

pytestmark = pytest.mark.integration
APPROVE = {"approved": True}
FLOW = {"nodes": [{"id": "ask", "type": "Approval", "inputs": {"prompt": "go?", "approvers": {"users": ["ann"]}}}]}


def merge(spec: dict[str, Any], *options: str) -> list[str]:
    return [*options, "patch", "cgx/release", "--type=merge", "-p", json.dumps({"spec": spec})]


def entry(id_: str, user: str = "", *groups: str, **fields: Any) -> dict[str, Any]:
    by = {"by": {"user": user, "groups": list(groups)}} if user else {}
    return {"id": id_, "name": "ask", "payload": APPROVE} | by | fields


@pytest.fixture
def release(user: User) -> User:
    """An execution, and roles: ann and bob approve, carl edits."""
    rights = {"approver": ["get", "list", "watch", "patch"], "editor": ["get", "create", "patch", "update"]}
    people = {"approver": ["ann", "bob"], "editor": ["carl"]}
    group = "rbac.authorization.k8s.io"
    for role, verbs in rights.items():
        rule = {"apiGroups": ["chaingraph.dev"], "resources": ["executions"], "verbs": verbs}
        user.apply(
            {"apiVersion": f"{group}/v1", "kind": "Role", "metadata": {"name": role}, "rules": [rule]},
            {
                "apiVersion": f"{group}/v1",
                "kind": "RoleBinding",
                "metadata": {"name": role},
                "roleRef": {"apiGroup": group, "kind": "Role", "name": role},
                "subjects": [{"kind": "User", "name": each} for each in people[role]],
            },
        )
    user.apply(execution("release", flow=FLOW))
    return user


def denied(user: User, *command: str, **options: Any) -> str:
    done = user.kubectl(*command, check=False, **options)
    assert done.returncode != 0, done.stdout
    return str(done.stderr)


def test_by_is_the_caller_or_nobody(release: User) -> None:
    told = denied(release, *merge({"signals": [entry("a", "ann")]}, "--as=bob"))
    assert "spec.signals: `by` has to be the user who sends the signal, which is bob" in told
    assert "which is ann" in denied(release, *merge({"signals": [entry("a", "ann", "release")]}, "--as=ann"))
    assert "which is carl" in denied(release, *merge({"signals": [entry("a", "ann")]}, "--as=carl"))
    release.kubectl(*merge({"signals": [entry("a", "ann")]}, "--as=ann"))
    group = ("--as=bob", "--as-group=release", "--as-group=staff")
    release.kubectl(*merge({"signals": [entry("a", "ann"), entry("b", "bob", "release")]}, *group))
    # Whoever edits something else may leave the entries of others as they are.
    release.kubectl(*merge({"paused": True}, "--as=carl"))


def test_creation_cannot_bring_the_approval_of_somebody_else(release: User) -> None:
    forged = execution("forged", flow=FLOW, signals=[entry("a", "ann")])
    told = denied(release, "create", "-f", "-", "--as=carl", input=json.dumps(forged))
    assert "which is carl" in told
    release.apply(forged)  # an administrator, who could act as ann: a restore of a backup


def test_entry_of_another_user_cannot_be_changed(release: User) -> None:
    release.kubectl(*merge({"signals": [entry("a", "ann", payload={"approved": False})]}, "--as=ann"))
    for changed in (entry("a", "ann"), entry("a", "carl"), entry("a"), entry("a", "ann", payload={"approved": 0})):
        told = denied(release, *merge({"signals": [changed]}, "--as=carl"))
        assert "an entry of spec.signals cannot change: add one with a new id" in told
    release.kubectl(*merge({"signals": []}, "--as=carl"))


@pytest.mark.parametrize(
    "change",
    [
        {"spec": {"paused": True}},
        {"spec": {"stop": True}},
        {"spec": {"retry": {"token": "x"}}},
        {"spec": {"options": {"breakpoints": ["ask"]}}},
        {"spec": {"priority": 5}},
        {"spec": {"ttlSecondsAfterFinished": 0}},
        {"metadata": {"labels": {"a": "b"}}},
        {"metadata": {"annotations": {"a": "b"}}},
        {"metadata": {"finalizers": ["a.b/c"]}},
    ],
    ids=str,
)
def test_approver_may_change_signals_alone(release: User, change: dict[str, Any]) -> None:
    patch = ("patch", "cgx/release", "--type=merge", "-p", json.dumps(change))
    assert "the right to patch them is for spec.signals alone" in denied(release, *patch, "--as=ann")
    release.kubectl(*patch, "--as=carl")


def test_approver_has_no_other_rights(release: User) -> None:
    assert "cannot delete" in denied(release, "delete", "cgx/release", "--as=ann")
    assert "cannot create" in denied(
        release, "create", "-f", "-", "--as=ann", input=json.dumps(execution("other", flow=FLOW))
    )
    assert "executions/status" in denied(
        release, "patch", "cgx/release", "--subresource=status", "--type=merge", "-p", '{"status":{}}', "--as=ann"
    )
