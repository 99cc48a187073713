"""The committed CRDs on a real API server: every rule both ways, strictness, defaults."""

from typing import Any

import httpx
import pytest

from chaingraph_crds.execution import ExecutionSpec, ExecutionStatus
from chaingraph_crds.flow import FlowSpec
from chaingraph_crds.names import EXECUTION_KIND, FLOW_KIND
from fixtures.cluster.crd_specs import (
    BAD_EXECUTIONS,
    BAD_FLOWS,
    BY_REFERENCE,
    CHILD,
    EVERY_EXECUTION_FIELD,
    EVERY_FLOW_FIELD,
    FLOW,
    INLINE,
    SPAWNED_BY,
    Bad,
)
from fixtures.cluster.objects import Objects

pytestmark = pytest.mark.integration


def replace(path: str, value: Any) -> dict[str, Any]:
    return {"op": "replace", "path": path, "value": value}


def add(path: str, value: Any) -> dict[str, Any]:
    return {"op": "add", "path": path, "value": value}


def remove(path: str) -> dict[str, Any]:
    return {"op": "remove", "path": path}


def assert_refused(answer: httpx.Response, field: str, *words: str) -> None:
    """The answer is 422 Invalid and has a cause at this field with these words."""
    assert answer.status_code == 422, answer.text
    causes = answer.json()["details"]["causes"]
    messages = [cause["message"] for cause in causes if cause.get("field") == field]
    assert messages, answer.text
    for word in words:
        assert any(word in message for message in messages), answer.text


@pytest.mark.parametrize("bad", BAD_FLOWS, ids=str)
def test_api_server_rejects_bad_flow_where_models_do(objects: Objects, bad: Bad) -> None:
    answer = objects.create(FLOW_KIND, bad.spec)
    assert answer.status_code in (400, 422), answer.text
    assert bad.path in answer.json()["message"]


@pytest.mark.parametrize(
    ("path", "value", "right"),
    [
        ("/spec/nodes/0/id", "a b", "'a b' is not a letter or '_', then letters, digits, '_' and '-'"),
        ("/spec/nodes/0/type", "9", "'9' is not a letter, then letters, digits, '_', '.' and '-'"),
        ("/spec/edges", [{"from": "ab.", "to": "a.v"}], "'ab.' is not an endpoint: 'node.port', or 'node.port.path'"),
        ("/spec/outputs", [{"name": "a\nb", "from": "a.v"}], "must be a letter or '_', then letters"),
    ],
)
def test_wrong_form_of_a_text_is_told_in_words(objects: Objects, path: str, value: Any, right: str) -> None:
    answer = objects.patch(objects.created(FLOW_KIND, FLOW), add(path, value))
    assert answer.status_code == 422
    message = answer.json()["message"]
    assert right in message
    assert "should match" not in message


@pytest.mark.parametrize("bad", BAD_EXECUTIONS, ids=str)
def test_api_server_rejects_bad_execution_where_models_do(objects: Objects, bad: Bad) -> None:
    answer = objects.create(EXECUTION_KIND, bad.spec)
    assert answer.status_code in (400, 422), answer.text
    assert bad.path in answer.json()["message"]


@pytest.mark.parametrize("spec", [FLOW, EVERY_FLOW_FIELD])
def test_api_server_and_models_agree_on_stored_flow(objects: Objects, spec: dict[str, Any]) -> None:
    stored = objects.created(FLOW_KIND, spec)
    assert FlowSpec.model_validate(stored["spec"]) == FlowSpec.model_validate(spec)
    assert stored["status"] == {"observedGeneration": -1}


@pytest.mark.parametrize("spec", [BY_REFERENCE, INLINE, CHILD, CHILD | BY_REFERENCE, EVERY_EXECUTION_FIELD])
def test_api_server_and_models_agree_on_stored_execution(objects: Objects, spec: dict[str, Any]) -> None:
    stored = objects.created(EXECUTION_KIND, spec)
    assert ExecutionSpec.model_validate(stored["spec"]) == ExecutionSpec.model_validate(spec)
    assert stored["status"] == {"observedGeneration": -1}


def test_api_server_fills_in_model_defaults(objects: Objects) -> None:
    stored = objects.created(EXECUTION_KIND, BY_REFERENCE)["spec"]
    complete = ExecutionSpec.model_validate(BY_REFERENCE).complete()
    empty = [name for name, value in complete.items() if value in ([], {})]
    expected = {name: value for name, value in complete.items() if name not in empty}
    del expected["options"]["breakpoints"]
    assert stored == expected


@pytest.mark.parametrize(
    ("spec", "change"),
    [
        (BY_REFERENCE, replace("/spec/flowRef/name", "other")),
        (INLINE, replace("/spec/flow/nodes/0/inputs/value", "other")),
        (INLINE, replace("/spec/flow/nodes/0/inputs", {"other": "hello"})),
        (INLINE, remove("/spec/flow/nodes/0/inputs")),
        (INLINE, add("/spec/flow/edges", [{"from": "greet.value", "to": "greet.value"}])),
        (BY_REFERENCE, add("/spec/spawnedBy", SPAWNED_BY)),
        (BY_REFERENCE | CHILD, remove("/spec/spawnedBy")),
        (BY_REFERENCE | CHILD, replace("/spec/spawnedBy/position", 1)),
        (BY_REFERENCE | CHILD, remove("/spec/spawnedBy/parentName")),
        (CHILD, replace("/spec/spawnedBy/executionID", SPAWNED_BY["parentExecutionID"])),
        (CHILD, add("/spec/flowRef", {"name": "other"})),
        (CHILD, add("/spec/flow", FLOW)),
        (BY_REFERENCE | {"inputs": {"a": 1}}, replace("/spec/inputs/a", 2)),
        (BY_REFERENCE | {"inputs": {"a": {"b": [1]}}}, replace("/spec/inputs/a/b/0", 2)),
        (BY_REFERENCE | {"inputs": {"a": 1}}, add("/spec/inputs/b", 2)),
        (BY_REFERENCE | {"inputs": {"a": 1, "b": 2}}, remove("/spec/inputs/b")),
        (BY_REFERENCE | {"inputs": {"a": 1}}, remove("/spec/inputs")),
        (BY_REFERENCE, add("/spec/inputs", {"a": 1})),
        (BY_REFERENCE | {"events": [{"name": "e", "payload": {"a": 1}}]}, replace("/spec/events/0/payload/a", 2)),
        (BY_REFERENCE | {"events": [{"name": "e", "payload": {"a": 1}}]}, replace("/spec/events/0/payload", {"b": 1})),
        (BY_REFERENCE | {"events": [{"name": "e"}]}, add("/spec/events/0/payload", 1)),
        (BY_REFERENCE, add("/spec/events", [{"name": "e"}])),
        (BY_REFERENCE | {"integration": {"a": {"b": 1}}}, replace("/spec/integration/a/b", 2)),
        (BY_REFERENCE | {"integration": {"a": 1}}, remove("/spec/integration")),
        (BY_REFERENCE, replace("/spec/queue", "other")),
        (BY_REFERENCE, replace("/spec/children/resources", "None")),
        (BY_REFERENCE | {"children": {"resources": "None"}}, remove("/spec/children/resources")),
    ],
    ids=lambda value: value["path"] if "op" in value else "",
)
def test_immutable_fields_reject_changes(objects: Objects, spec: dict[str, Any], change: dict[str, Any]) -> None:
    item = objects.created(EXECUTION_KIND, spec)
    steps = change["path"].split("/")[2:]
    field = "spec.children.resources" if steps[0] == "children" else f"spec.{steps[0]}"
    assert_refused(objects.patch(item, change), field, "immutable: create another Execution")


@pytest.mark.parametrize("field", ["inputs", "integration"])
def test_policy_rejects_renamed_key(objects: Objects, field: str) -> None:
    """CEL in the CRD does not see this change: as many keys, and no key in common that differs."""
    item = objects.created(EXECUTION_KIND, BY_REFERENCE | {field: {"a": 1}})

    def rename() -> httpx.Response:
        # Back first, in case a policy that is not yet in force let the change pass.
        objects.patch(item, replace(f"/spec/{field}", {"a": 1}))
        return objects.patch(item, replace(f"/spec/{field}", {"b": 1}))

    answer = objects.eventually(rename, 422)
    assert answer.status_code == 422, answer.text
    assert f"spec.{field} is immutable: create another Execution" in answer.json()["message"]


@pytest.mark.parametrize(
    "change",
    [
        replace("/spec/paused", True),
        add("/spec/step", "1"),
        add("/spec/resume", "1"),
        replace("/spec/stop", True),
        add("/spec/retry", {"token": "1"}),
        replace("/spec/options/maxConcurrency", 3),
        replace("/spec/options/debug", True),
        add("/spec/options/breakpoints", ["greet"]),
        remove("/spec/options"),
        replace("/spec/startTimeoutSeconds", 3),
        replace("/spec/priority", 3),
        add("/spec/ttlSecondsAfterFinished", 3),
        replace("/spec/children/onStop", "Continue"),
        remove("/spec/children"),
    ],
    ids=lambda change: change["path"],
)
def test_mutable_fields_accept_changes(objects: Objects, change: dict[str, Any]) -> None:
    item = objects.created(EXECUTION_KIND, INLINE | {"inputs": {"a": None}, "integration": {"b": {"c": [None]}}})
    answer = objects.patch(item, change)
    assert answer.status_code == 200, answer.text


class TestStop:
    def test_stop_cannot_be_undone(self, objects: Objects) -> None:
        item = objects.created(EXECUTION_KIND, BY_REFERENCE | {"stop": True})
        assert_refused(objects.patch(item, replace("/spec/stop", False)), "spec.stop", "cannot be reverted")
        assert_refused(objects.patch(item, remove("/spec/stop")), "spec.stop", "cannot be reverted")

    def test_stop_cannot_be_undone_with_last_retry_token(self, objects: Objects) -> None:
        item = objects.created(EXECUTION_KIND, BY_REFERENCE | {"stop": True, "retry": {"token": "1"}})
        assert_refused(objects.patch(item, replace("/spec/stop", False)), "spec.stop", "new retry.token")

    @pytest.mark.parametrize("before", [{}, {"retry": {"token": "1"}}])
    def test_stop_ends_with_new_retry_token(self, objects: Objects, before: dict[str, Any]) -> None:
        item = objects.created(EXECUTION_KIND, BY_REFERENCE | {"stop": True} | before)
        answer = objects.merge(item, {"spec": {"stop": False, "retry": {"token": "2"}}})
        assert answer.status_code == 200, answer.text

    def test_stop_reason_requires_stop_and_can_change(self, objects: Objects) -> None:
        item = objects.created(EXECUTION_KIND, BY_REFERENCE)
        assert_refused(objects.patch(item, add("/spec/stopReason", "why")), "spec.stopReason", "requires stop: true")
        for reason in ("why", "because"):
            answer = objects.merge(item, {"spec": {"stop": True, "stopReason": reason}})
            assert answer.status_code == 200, answer.text

    def test_stopped_execution_accepts_pause_and_resume(self, objects: Objects) -> None:
        item = objects.created(EXECUTION_KIND, BY_REFERENCE | {"stop": True})
        for paused in (True, False):
            assert objects.patch(item, replace("/spec/paused", paused)).status_code == 200


class TestRetry:
    def test_retry_start_changes_with_new_token(self, objects: Objects) -> None:
        item = objects.created(EXECUTION_KIND, BY_REFERENCE | {"retry": {"token": "1"}})
        answer = objects.merge(item, {"spec": {"retry": {"token": "2", "from": "Start"}}})
        assert answer.status_code == 200, answer.text

    def test_retry_start_rejects_change_with_same_token(self, objects: Objects) -> None:
        item = objects.created(EXECUTION_KIND, BY_REFERENCE | {"retry": {"token": "1"}})
        answer = objects.merge(item, {"spec": {"retry": {"from": "Start"}}})
        assert_refused(answer, "spec.retry.from", "new token")

    @pytest.mark.parametrize("field", ["node", "flowRevision"])
    def test_node_and_revision_change_with_new_token(self, objects: Objects, field: str) -> None:
        value = {"node": "a", "flowRevision": "Latest"}[field]
        item = objects.created(EXECUTION_KIND, BY_REFERENCE | {"retry": {"token": "1"}})
        answer = objects.merge(item, {"spec": {"retry": {field: value}}})
        assert_refused(answer, f"spec.retry.{field}", "new token")
        answer = objects.merge(item, {"spec": {"retry": {"token": "2", field: value}}})
        assert answer.status_code == 200, answer.text
        answer = objects.merge(item, {"spec": {"retry": {field: None}}})
        assert_refused(answer, f"spec.retry.{field}", "new token")

    def test_start_leaves_no_node_to_choose(self, objects: Objects) -> None:
        retry = {"token": "1", "from": "Start", "node": "a"}
        answer = objects.create(EXECUTION_KIND, BY_REFERENCE | {"retry": retry})
        assert_refused(answer, "spec.retry.node", "remove node")

    def test_latest_revision_needs_a_reference(self, objects: Objects) -> None:
        item = objects.created(EXECUTION_KIND, {"flow": {"nodes": [{"id": "a", "type": "Text"}]}})
        answer = objects.merge(item, {"spec": {"retry": {"token": "1", "flowRevision": "Latest"}}})
        assert_refused(answer, "spec.retry", "needs flowRef")
        answer = objects.merge(item, {"spec": {"retry": {"token": "1", "node": "a"}}})
        assert answer.status_code == 200, answer.text

    @pytest.mark.parametrize("before", [{}, {"retry": {"token": "1"}}])
    def test_stop_wins_over_new_retry(self, objects: Objects, before: dict[str, Any]) -> None:
        item = objects.created(EXECUTION_KIND, BY_REFERENCE | {"stop": True} | before)
        answer = objects.merge(item, {"spec": {"retry": {"token": "2"}}})
        assert_refused(answer, "spec.retry", "set stop: false together with the new retry.token")
        running = objects.created(EXECUTION_KIND, BY_REFERENCE | before)
        answer = objects.merge(running, {"spec": {"stop": True, "retry": {"token": "2"}}})
        assert_refused(answer, "spec.retry", "stop takes precedence over retry")

    def test_old_retry_does_not_block_stop(self, objects: Objects) -> None:
        item = objects.created(EXECUTION_KIND, BY_REFERENCE | {"retry": {"token": "1"}})
        assert objects.patch(item, replace("/spec/stop", True)).status_code == 200


@pytest.mark.parametrize("field", ["step", "resume", "retry"])
@pytest.mark.parametrize("stop", [False, True])
def test_tokens_can_be_removed(objects: Objects, field: str, stop: bool) -> None:
    """A manifest that never had it, or has it no longer, stays applicable. It asks for nothing."""
    token: Any = {"token": "1"} if field == "retry" else "1"
    item = objects.created(EXECUTION_KIND, BY_REFERENCE | {field: token, "stop": stop})
    answer = objects.patch(item, remove(f"/spec/{field}"))
    assert answer.status_code == 200, answer.text


def test_breakpoints_reject_duplicates(objects: Objects) -> None:
    answer = objects.create(EXECUTION_KIND, BY_REFERENCE | {"options": {"breakpoints": ["a", "b", "a"]}})
    assert_refused(answer, "spec.options.breakpoints[2]", "Duplicate value")


class TestExactlyOneFlow:
    def test_execution_requires_exactly_one_flow(self, objects: Objects) -> None:
        neither: dict[str, Any] = {}
        for spec in (neither, BY_REFERENCE | INLINE):
            assert_refused(objects.create(EXECUTION_KIND, spec), "spec", "exactly one of flowRef and flow")

    def test_child_rejects_both_flows(self, objects: Objects) -> None:
        answer = objects.create(EXECUTION_KIND, CHILD | BY_REFERENCE | INLINE)
        assert_refused(answer, "spec", "cannot both be set", "runs the graph of its parent")

    def test_root_execution_cannot_become_child_without_flow(self, objects: Objects) -> None:
        """Not even in the same edit that makes it one."""
        item = objects.created(EXECUTION_KIND, BY_REFERENCE)
        answer = objects.patch(item, remove("/spec/flowRef"), add("/spec/spawnedBy", SPAWNED_BY))
        assert_refused(answer, "spec.flowRef", "immutable")
        assert_refused(answer, "spec.spawnedBy", "immutable")

    def test_flow_ref_cannot_be_replaced_by_flow(self, objects: Objects) -> None:
        item = objects.created(EXECUTION_KIND, BY_REFERENCE)
        answer = objects.patch(item, remove("/spec/flowRef"), add("/spec/flow", FLOW))
        assert_refused(answer, "spec.flowRef", "immutable")
        assert_refused(answer, "spec.flow", "immutable")


@pytest.mark.parametrize(
    ("field", "items", "key"),
    [
        ("nodes", [{"id": "a", "type": "T"}, {"id": "a", "type": "U"}], '{"id":"a"}'),
        ("inputs", [{"name": "i"}, {"name": "i"}], '{"name":"i"}'),
        ("outputs", [{"name": "o", "from": "a.b"}, {"name": "o", "from": "a.c"}], '{"name":"o"}'),
    ],
)
def test_flow_rejects_duplicate_names(objects: Objects, field: str, items: list[Any], key: str) -> None:
    assert_refused(objects.create(FLOW_KIND, FLOW | {field: items}), f"spec.{field}[1]", key)


def test_node_id_inputs_is_reserved(objects: Objects) -> None:
    answer = objects.create(FLOW_KIND, {"nodes": [{"id": "inputs", "type": "T"}]})
    assert_refused(answer, "spec.nodes[0].id", "reserved")


def test_flow_accepts_edits(objects: Objects) -> None:
    item = objects.created(FLOW_KIND, EVERY_FLOW_FIELD)
    answer = objects.patch(item, replace("/spec", FLOW))
    assert answer.status_code == 200, answer.text


def test_largest_flow_is_accepted_and_compared(objects: Objects) -> None:
    """Every list full: neither the schema nor the budget of the CEL rules stands in the way."""
    flow = {
        "nodes": [{"id": f"n{i}", "type": "Text", "inputs": {"value": "x" * 50}} for i in range(500)],
        "edges": [{"from": f"n{i % 499}.value", "to": f"n{i % 499 + 1}.p{i}"} for i in range(2000)],
    }
    item = objects.created(EXECUTION_KIND, {"flow": flow})
    assert objects.patch(item, replace("/spec/paused", True)).status_code == 200
    assert_refused(objects.patch(item, replace("/spec/flow/edges/1999/to", "n1.q")), "spec.flow", "immutable")


FULL_STATUS: dict[str, Any] = {
    "observedGeneration": 1,
    "executionID": "EX0123456789ABCDEFGHJKMNPQ",
    "attempt": 1,
    "flowRevision": "0123456789abcdef",
    "phase": "Failed",
    "conditions": [
        {
            "type": "Succeeded",
            "status": "False",
            "reason": "NodeFailed",
            "message": "node fetch: 404",
            "lastTransitionTime": "2026-11-23T03:32:51Z",
            "observedGeneration": 1,
        }
    ],
    "nodes": {"total": 9, "done": 6, "completed": 3, "failed": 1, "skipped": 2, "running": 0, "waiting": 0},
    "currentNodes": ["fetch"],
    "breakpoint": "fetch",
    "signals": [
        {"id": "a", "state": "Accepted"},
        {"id": "b", "state": "Refused", "reason": "UnknownSignal", "message": "no node takes it"},
    ],
    "waiting": [
        {"node": "fetch", "kind": "Retry", "since": "2026-11-24T02:00:01.000Z", "until": "2026-11-24T02:00:09.000Z"}
    ],
    "outputs": {"text": "hello", "deep": {"list": [1]}},
    "omittedOutputs": [{"name": "rows", "bytes": 60000000}],
    "error": {"node": "fetch", "message": "404", "reason": "NodeFailed"},
    "parentRef": {"name": "parent", "executionID": "EX1"},
    "rootExecutionID": "EX1",
    "depth": 1,
    "children": {
        "total": 2,
        "pending": 0,
        "created": 0,
        "running": 0,
        "paused": 0,
        "completed": 1,
        "failed": 1,
        "stopped": 0,
    },
    "childRefs": [{"executionID": "EX2", "name": "child-2", "phase": "Completed"}],
    "startTime": "2026-11-23T03:32:51.123Z",
    "completionTime": "2026-11-23T03:32:52.456Z",
    "worker": "worker-1",
    "workerVersion": "1.4.0",
    "lastStep": "s-1",
    "lastResume": "g-1",
    "lastRetry": "r-1",
    "attempts": [
        {
            "attempt": 1,
            "phase": "Failed",
            "reason": "NodeFailed",
            "message": "404",
            "node": "fetch",
            "startTime": "2026-11-23T03:32:51.123Z",
            "completionTime": "2026-11-23T03:32:52.456Z",
            "retriedFrom": "Failed",
            "flowRevision": "a" * 64,
            "retriedNode": "fetch",
            "kept": 2,
            "runsAgain": ["fetch"],
            "runsAgainTotal": 1,
            "removed": 1,
        }
    ],
}


class TestStatus:
    def test_status_stores_every_field(self, objects: Objects) -> None:
        assert set(FULL_STATUS) == {field.alias for field in ExecutionStatus.model_fields.values()}
        item = objects.created(EXECUTION_KIND, BY_REFERENCE)
        patch = ExecutionStatus.of(FULL_STATUS).manifest()
        answer = objects.merge(item, {"status": patch}, part="/status")
        assert answer.status_code == 200, answer.text
        assert answer.json()["status"] == FULL_STATUS

    def test_status_in_manifest_is_ignored(self, objects: Objects) -> None:
        item = objects.created(EXECUTION_KIND, BY_REFERENCE)
        answer = objects.merge(item, {"status": {"phase": "Completed"}})
        assert answer.json()["status"] == {"observedGeneration": -1}

    @pytest.mark.parametrize(
        ("field", "value"),
        [
            ("phase", "Done"),
            ("childRefs", [{"executionID": f"EX{i}"} for i in range(101)]),
            ("currentNodes", ["n"] * 51),
            ("attempts", [{"attempt": i, "phase": "Failed"} for i in range(1, 12)]),
            ("attempts", [{"attempt": 1, "phase": "Failed"}] * 2),
            ("conditions", [{"type": "Ready", "status": "Maybe", "reason": "R", "message": ""}]),
            ("startTime", "yesterday"),
        ],
    )
    def test_status_rejects_invalid_values(self, objects: Objects, field: str, value: object) -> None:
        item = objects.created(EXECUTION_KIND, BY_REFERENCE)
        answer = objects.merge(item, {"status": {field: value}}, part="/status")
        assert answer.status_code == 422, answer.text
        assert f"status.{field}" in answer.json()["message"]
