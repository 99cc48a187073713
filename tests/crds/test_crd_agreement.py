"""Models and API server give the same verdict on any spec, so that a flow checked without a cluster is taken by one."""

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from chaingraph_crds.execution import ExecutionSpec
from chaingraph_crds.names import EXECUTION_KIND
from fixtures import soak
from fixtures.cluster.objects import Objects

pytestmark = pytest.mark.integration

GOOD_WORDS = st.sampled_from(
    ["a", "fetch", "a.value", "a.b.c[0].d", "inputs.city", "Text", "acme.Shout", "Create", "None", "Stop", "Start"]
)
IDS = st.sampled_from(["EXABCDEFGHIJKLMNOPQRSTUVW2", "EX", "EXabcdefghijklmnopqrstuvw2", "EXABCDEFGHIJKLMNOPQRSTUVW1"])
BAD_WORDS = st.sampled_from(
    ["", "a b", ".a", "a.", "-a", "9", "ü", "a\n", "x" * 64, "y" * 129, "2026-11-23T03:32:51+01:00"]
)
WORDS = st.integers(0, 9).flatmap(lambda die: BAD_WORDS if die == 0 else GOOD_WORDS)
NUMBERS = st.sampled_from([-1, 0, 1, 2, 20, 21, 500, 501, 1000, 1001, 604_800, 604_801, 0.5, 1e300])
FREE: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | NUMBERS | WORDS,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(WORDS, inner, max_size=2),
    max_leaves=4,
)
ANYTHING: st.SearchStrategy[Any] = (
    st.booleans() | NUMBERS | WORDS | st.lists(WORDS, max_size=2, unique=True) | st.just({})
)


def likely(good: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Mostly of the right type, else anything. Never null: the API server drops nulls beside defaults."""
    return st.integers(0, 29).flatmap(lambda die: ANYTHING if die == 0 else good)


def record(required: dict[str, Any], optional: dict[str, Any]) -> st.SearchStrategy[Any]:
    return likely(st.fixed_dictionaries(required, optional=optional))


TEXT = likely(WORDS)
NUMBER = likely(NUMBERS)
FLAG = likely(st.booleans())
MAP = likely(st.dictionaries(WORDS, FREE, max_size=2))


def several(item: st.SearchStrategy[Any], key: str = "") -> st.SearchStrategy[Any]:
    """A list; the items differ in their key, which the API server demands and the flow layer checks."""
    unique = (lambda value: str(value.get(key)) if isinstance(value, dict) else str(value)) if key else None
    return likely(st.lists(item, max_size=3, unique_by=unique))


NODE = record(
    {"id": TEXT, "type": TEXT},
    {
        "title": TEXT,
        "inputs": MAP,
        "timeoutSeconds": NUMBER,
        "retry": record(
            {},
            {"maxAttempts": NUMBER, "backoffSeconds": NUMBER, "maxBackoffSeconds": NUMBER, "factor": NUMBER}
            | {"jitter": NUMBER, "retryOn": likely(st.lists(TEXT, max_size=2, unique_by=str))},
        ),
    },
)
FLOW = record(
    {"nodes": several(NODE, "id")},
    {
        "description": TEXT,
        "inputs": several(
            record({"name": TEXT}, {"type": TEXT, "title": TEXT, "schema": FREE, "required": FLAG, "default": FREE}),
            "name",
        ),
        "outputs": several(record({"name": TEXT, "from": TEXT}, {}), "name"),
        "edges": several(record({"from": TEXT, "to": TEXT}, {})),
    },
)
EXECUTION = st.fixed_dictionaries(
    {},
    optional={
        "flowRef": record({"name": TEXT}, {}),
        "flow": FLOW,
        "spawnedBy": record(
            {"executionID": likely(IDS), "parentExecutionID": likely(IDS)}, {"parentName": TEXT, "position": NUMBER}
        ),
        "inputs": MAP,
        "events": several(record({"name": TEXT}, {"payload": FREE})),
        "integration": MAP,
        "paused": FLAG,
        "step": TEXT,
        "resume": TEXT,
        "signals": several(record({"id": TEXT, "name": TEXT}, {"payload": FREE}), "id"),
        "stop": FLAG,
        "stopReason": TEXT,
        "retry": record({"token": TEXT}, {"from": TEXT, "node": TEXT, "flowRevision": TEXT}),
        "options": record(
            {},
            {"maxConcurrency": NUMBER, "debug": FLAG, "breakpoints": likely(st.lists(TEXT, max_size=2, unique_by=str))},
        ),
        "startTimeoutSeconds": NUMBER,
        "queue": TEXT,
        "priority": NUMBER,
        "children": record({}, {"resources": TEXT, "onStop": TEXT}),
    },
)
SPECS = st.one_of(
    st.fixed_dictionaries({"flow": FLOW}),
    EXECUTION,
    EXECUTION.map(lambda spec: spec | {"surprise": 1}),
    EXECUTION.map(lambda spec: {"flowRef": {"name": "a"}} | {k: v for k, v in spec.items() if k != "flow"}),
)


def accepted_by_the_models(spec: dict[str, Any]) -> bool:
    try:
        ExecutionSpec.model_validate(spec)
    except ValidationError:
        return False
    return True


@given(spec=SPECS)
@pytest.mark.soak
@settings(max_examples=soak.examples(300), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_models_and_api_server_agree(objects: Objects, spec: dict[str, Any]) -> None:
    answer = objects.create(EXECUTION_KIND, spec, dry_run=True)
    assert answer.status_code in (201, 400, 422), answer.text
    assert (answer.status_code == 201) == accepted_by_the_models(spec), answer.text
