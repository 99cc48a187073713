"""Values: what is refused and in which words, and that everything the processes can be told has a value."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from annotated_types import Ge, Gt, Le
from pydantic_settings import BaseSettings
from tools.chart_values import documented

from chaingraph_gateway.settings import Settings as GatewaySettings
from chaingraph_operator.settings import Settings as OperatorSettings
from chaingraph_runtime.settings import variable_of
from chaingraph_worker.settings import WorkerSettings
from fixtures.chart.helm import CHART, TRIAL, Helm, environment, with_values
from fixtures.chart.values import OWN_DATABASE

VALUES: dict[str, Any] = yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8"))
SCHEMA: dict[str, Any] = json.loads((CHART / "values.schema.json").read_text(encoding="utf-8"))

WRONG: list[tuple[dict[str, Any], str]] = [
    ({"replicas": 2}, "additional properties 'replicas' not allowed"),
    ({"operator": {"replica": 2}}, "at '/operator': additional properties 'replica' not allowed"),
    ({"operator": {"replicas": "two"}}, "at '/operator/replicas': got string, want integer"),
    ({"operator": {"statusWriters": 65}}, "at '/operator/statusWriters': maximum: got 65, want 64"),
    ({"operator": {"serviceAccount": {"nmae": "x"}}}, "'nmae' not allowed"),
    ({"logLevel": "loud"}, "at '/logLevel': value must be one of 'debug', 'info', 'warning', 'error'"),
    ({"namespaces": ["Team_A"]}, "at '/namespaces/0': 'Team_A' does not match pattern"),
    ({"namespaces": ["a", "a"]}, "at '/namespaces'"),
    ({"image": {"tag": "1.0 beta"}}, "at '/image/tag': '1.0 beta' does not match pattern"),
    ({"image": {"digest": "abc"}}, "at '/image/digest'"),
    ({"image": {"pullPolicy": "Sometimes"}}, "value must be one of 'Always', 'IfNotPresent', 'Never'"),
    ({"workers": {"default": {"concurency": 3}}}, "at '/workers/default': additional properties 'concurency' not"),
    ({"workers": {"default": {"queues": []}}}, "at '/workers/default/queues': minItems: got 0, want 1"),
    ({"workers": {"default": {"queues": ["a,b"]}}}, "at '/workers/default/queues/0': 'a,b' does not match"),
    ({"workers": {"default": {"version": "1 0"}}}, "at '/workers/default/version'"),
    ({"workers": {"default": {"resources": {"limits": {"memory": "1 GB"}}}}}, "limits/memory': '1 GB' does not match"),
    ({"workers": {"default": {"autoscaling": {"kind": "VPA"}}}}, "value must be one of '', 'HPA', 'KEDA'"),
    ({"workers": {"default": {"extraEnv": [{"name": "A"}]}}}, "at '/workers/default/extraEnv': got array, want object"),
    ({"gateway": {"url": "http://example.com"}}, "at '/gateway/url': 'http://example.com' does not match pattern"),
    ({"gateway": {"service": {"type": "Public"}}}, "value must be one of 'ClusterIP', 'NodePort', 'LoadBalancer'"),
    ({"postgresql": {"uid": 0}}, "at '/postgresql/uid': minimum: got 0, want 1"),
    ({"postgresql": {"persistence": {"size": "8 GiB"}}}, "at '/postgresql/persistence/size'"),
    ({"telemetry": {"otlp": {"endpoint": "collector:4318"}}}, "at '/telemetry/otlp/endpoint'"),
    ({"monitoring": {"podMonitor": {"interval": "30"}}}, "at '/monitoring/podMonitor/interval'"),
    ({"fullnameOverride": "x" * 41}, "at '/fullnameOverride': maxLength: got 41, want 40"),
]

UNFIT: list[tuple[dict[str, Any], str]] = [
    ({"postgresql": {"enabled": False}}, "database.existingSecret.name is empty and postgresql.enabled is false"),
    (OWN_DATABASE, 'database.existingSecret.name is "database" and postgresql.enabled is true: choose one'),
    (
        {"operator": {"leaderElection": {"enabled": False}}},
        "operator.replicas is 2 and operator.leaderElection.enabled is false",
    ),
    (
        {"operator": {"leaderElection": {"renewSeconds": 15}}},
        "operator.leaderElection.renewSeconds is 15 and durationSeconds is 15: it has to be less",
    ),
    ({"operator": {"leaderElection": {"retrySeconds": 5}}}, "retrySeconds is 5 and renewSeconds is 10"),
    (
        {"operator": {"serviceAccount": {"create": False}}},
        "operator.serviceAccount.create is false and operator.serviceAccount.name is empty",
    ),
    ({"operator": {"terminationGracePeriodSeconds": 5}}, "operator.terminationGracePeriodSeconds is 5: give it 10"),
    ({"gateway": {"healthPort": 8443}}, "gateway.port and gateway.healthPort are both 8443"),
    (
        {"gateway": {"preStopSeconds": 40}},
        "gateway.terminationGracePeriodSeconds is 30 and preStopSeconds is 40, which counts in it: give it 45 or more",
    ),
    ({"gateway": {"tls": {"certManager": {"enabled": True}}}}, "issuerRef names no issuer"),
    ({"gateway": {"ingress": {"enabled": True}}}, "gateway.ingress.host is empty"),
    ({"workers": {"GPU": {"queues": ["gpu"]}}}, 'workers.GPU: the pool\'s name is "GPU"'),
    ({"workerDefaults": {"concurrency": 101}}, "workers.default.concurrency is 101, above queueConcurrency 100"),
    (
        {"workers": {"default": {"drainSeconds": 60, "terminationGracePeriodSeconds": 60}}},
        "workers.default.terminationGracePeriodSeconds is 60 and drainSeconds is 60: give it 85 or more",
    ),
    (
        {"workers": {"other": {"concurrency": 3}}},
        "workers.other.concurrency is 3 and workers.default.concurrency is 5, and both serve the queue "
        '"chaingraph-executions"',
    ),
    (
        {"workers": {"default": {"version": "b.1"}, "default-b": {"version": "1"}}},
        "would both be the Deployment cg-chaingraph-worker-default-b-1",
    ),
    (
        {"workerDefaults": {"autoscaling": {"kind": "HPA", "minReplicas": 11}}},
        "minReplicas is 11, above maxReplicas 10",
    ),
    ({"workerDefaults": {"autoscaling": {"kind": "HPA", "minReplicas": 0}}}, "only KEDA scales to none"),
    ({"workerDefaults": {"autoscaling": {"kind": "HPA", "queueDepth": False}}}, "needs something to go by"),
    ({"workerDefaults": {"autoscaling": {"kind": "KEDA"}}}, "workers.default.autoscaling.prometheusAddress is empty"),
    ({"namespaces": ["a"], "test": {"namespace": "b"}}, 'test.namespace is "b", which is not among namespaces'),
]


@pytest.mark.parametrize(("values", "message"), WRONG, ids=[message for _, message in WRONG])
def test_schema_rejects_wrong_value_by_path(helm: Helm, values: dict[str, Any], message: str) -> None:
    assert message in helm.refused(with_values(TRIAL, values))


@pytest.mark.parametrize(("values", "message"), UNFIT, ids=[message for _, message in UNFIT])
def test_chart_rejects_conflicting_values(helm: Helm, values: dict[str, Any], message: str) -> None:
    assert message in helm.refused(with_values(TRIAL, values))


def test_chart_reports_conflicting_values_together(helm: Helm) -> None:
    together = [UNFIT[2], UNFIT[3], UNFIT[5], UNFIT[10]]
    told = helm.refused(with_values(TRIAL, *(values for values, _ in together)))
    for _, message in together:
        assert message in told


def test_chart_accepts_global_values_of_parent(helm: Helm) -> None:
    assert helm.template(with_values(TRIAL, {"global": {"anything": {"at": ["all"]}}}))


def test_chart_values_have_comment_and_schema_entry() -> None:
    commented = {each.path for each in documented((CHART / "values.yaml").read_text(encoding="utf-8"))}
    for path in leaves(VALUES):
        assert any(path[:length] in commented for length in range(1, len(path) + 1)), ".".join(path)
        place = SCHEMA
        for key in path:
            place = resolved(place)
            if place in ({"type": "object"}, {"type": ["object", "null"]}):
                break  # a part of an object of Kubernetes
            within = place.get("properties", {})
            assert key in within or place.get("additionalProperties"), f"{'.'.join(path)} is not in the schema"
            place = within.get(key, place.get("additionalProperties", {}))
            if place is True:
                break


def test_schema_objects_are_closed_unless_listed() -> None:
    free = []
    for path, place in places(SCHEMA):
        if place.get("type") == "object" and "additionalProperties" not in place:
            free.append(path)
    # Parts of Kubernetes' own objects, which the API server judges.
    assert set(free) <= {
        "/properties/global",
        "/definitions/objects/items",
        "/definitions/resources/properties/claims/items",
        "/definitions/env/additionalProperties/anyOf/1/properties/valueFrom",
        "/definitions/affinity/properties/nodeAffinity",
        "/definitions/affinity/properties/podAffinity",
        "/definitions/affinity/properties/podAntiAffinity",
        "/definitions/spread/properties/labelSelector",
        "/definitions/podSecurityContext/properties/seLinuxOptions",
        "/definitions/podSecurityContext/properties/appArmorProfile",
        "/definitions/containerSecurityContext/properties/seLinuxOptions",
        "/definitions/containerSecurityContext/properties/appArmorProfile",
        "/definitions/pool/properties/autoscaling/properties/behavior/properties/scaleUp",
        "/definitions/pool/properties/autoscaling/properties/behavior/properties/scaleDown",
    }


def test_chart_app_version_matches_project() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text(encoding="utf-8"))
    project = tomllib.loads((CHART.parents[1] / "pyproject.toml").read_text(encoding="utf-8"))
    assert chart["appVersion"] == project["project"]["version"]


# What the chart says by itself, because it knows it: no value of its own.
KNOWN_BY_THE_CHART = {
    "DATABASE_URL_EXECUTIONS": "database",
    "CHAINGRAPH_POD_NAME": "the Pod's name",
    "CHAINGRAPH_EXECUTOR_ID": "the Pod's host name, which is its name",
    "CHAINGRAPH_POOL": "the key in workers",
    "CHAINGRAPH_TLS_CERTIFICATE": "gateway.tls",
    "CHAINGRAPH_TLS_KEY": "gateway.tls",
    "CHAINGRAPH_LEASE_NAMESPACE": "the release's namespace",
    "CHAINGRAPH_WORKER_NAMESPACE": "the release's namespace",
    "CHAINGRAPH_WORKER_POOLS": "the ConfigMap of the release",
    "CHAINGRAPH_RELEASE": "the release",
    "CHAINGRAPH_METRIC_QUEUES": "the queues of all pools",
}
# Values whose names are not those of their settings, or that are not the component's own.
ELSEWHERE = {
    "DBOS_APPLICATION_NAME": ("applicationName",),
    "CHAINGRAPH_NAMESPACES": ("namespaces",),
    "LOG_LEVEL": ("logLevel",),
    "CHAINGRAPH_WORKER_VERSION": ("workerDefaults", "version"),
    "CHAINGRAPH_LEADER_ELECTION": ("operator", "leaderElection", "enabled"),
    "CHAINGRAPH_LEASE_NAME": ("operator", "leaderElection", "leaseName"),
    "CHAINGRAPH_LEASE_DURATION_SECONDS": ("operator", "leaderElection", "durationSeconds"),
    "CHAINGRAPH_LEASE_RENEW_SECONDS": ("operator", "leaderElection", "renewSeconds"),
    "CHAINGRAPH_LEASE_RETRY_SECONDS": ("operator", "leaderElection", "retrySeconds"),
    "CHAINGRAPH_GATEWAY_HOST": ("gateway", "host"),
    "CHAINGRAPH_GATEWAY_PORT": ("gateway", "port"),
    "CHAINGRAPH_GATEWAY_CONNECTIONS": ("gateway", "connections"),
    "DBOS_QUEUE_CONCURRENCY": ("workerDefaults", "queueConcurrency"),
    "DBOS_WORKER_CONCURRENCY": ("workerDefaults", "concurrency"),
}
# Empty by default, which the chart does not say, or made in the Pod.
MADE_OR_EMPTY = {
    "CHAINGRAPH_EXECUTOR_ID",
    "CHAINGRAPH_NAMESPACES",
    "CHAINGRAPH_ADOPT_CLUSTER",
    "CHAINGRAPH_EGRESS_ALLOW",
    "CHAINGRAPH_EGRESS_DENY",
    "CHAINGRAPH_SECRETS_FOLDER",
    "CHAINGRAPH_SECRET_NAMESPACES",
    "CHAINGRAPH_TRUSTED_PROXIES",
}
COMPONENTS: dict[str, type[BaseSettings]] = {
    "operator": OperatorSettings,
    "gateway": GatewaySettings,
    "workerDefaults": WorkerSettings,
}
SETTINGS = [
    (component, variable_of(model, name), name)
    for component, model in COMPONENTS.items()
    for name in model.model_fields
    if variable_of(model, name) not in KNOWN_BY_THE_CHART
]


@pytest.mark.parametrize(("component", "variable", "name"), SETTINGS, ids=[f"{c}-{v}" for c, v, _ in SETTINGS])
def test_chart_values_match_setting_defaults_and_bounds(component: str, variable: str, name: str) -> None:
    path = ELSEWHERE.get(variable) or (component, camel(variable))
    value: Any = VALUES
    place = SCHEMA
    for key in path:
        assert key in value, f"{variable} has no value: {'.'.join(path)} is missing"
        value, place = value[key], resolved(resolved(place)["properties"][key])
    field = COMPONENTS[component].model_fields[name]
    if variable in ("CHAINGRAPH_LEASE_NAME", "CHAINGRAPH_WORKER_VERSION", "CHAINGRAPH_LEADER_ELECTION"):
        return  # made from the release
    default = ",".join(value) if isinstance(value, list) else value
    expected = ",".join(field.default) if isinstance(field.default, tuple) else field.default
    assert default == expected, variable
    for bound in field.metadata:
        for kind, keyword in ((Ge, "minimum"), (Gt, "exclusiveMinimum"), (Le, "maximum")):
            if isinstance(bound, kind):
                limit = getattr(bound, kind.__name__.lower())
                # Port 0 takes a free one, which nobody in a cluster would find.
                taken = 1 if variable.endswith("_PORT") and keyword == "minimum" else limit
                assert place.get(keyword) == taken, (variable, keyword)


def test_process_settings_reach_their_containers(helm: Helm) -> None:
    """What no default says, the program says by itself: only these are left out."""
    rendered = helm.template(TRIAL)
    for component, model in COMPONENTS.items():
        label = {"workerDefaults": "worker"}.get(component, component)
        [deployment] = [
            each
            for each in rendered.of("Deployment")
            if each["metadata"]["labels"]["app.kubernetes.io/component"] == label
        ]
        container = deployment["spec"]["template"]["spec"]["containers"][0]
        names = {each["name"] for each in container["env"]}
        missing = {variable_of(model, name) for name in model.model_fields} - names
        assert missing <= MADE_OR_EMPTY, component
        assert environment(deployment["spec"]["template"])["CHAINGRAPH_HEALTH_PORT"] == "8080"


def camel(variable: str) -> str:
    first, *others = variable.removeprefix("CHAINGRAPH_").lower().split("_")
    return first + "".join(each.capitalize() for each in others)


def resolved(place: dict[str, Any]) -> dict[str, Any]:
    if "$ref" in place:
        definition: dict[str, Any] = SCHEMA["definitions"][place["$ref"].rpartition("/")[2]]
        return resolved(definition)
    for each in place.get("anyOf", []):
        if each.get("type") == "object":
            return resolved(each)
    return place


def leaves(values: dict[str, Any], path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for key, value in values.items():
        if isinstance(value, dict) and value:
            yield from leaves(value, (*path, key))
        else:
            yield (*path, key)


def places(place: Any, path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    if isinstance(place, dict):
        yield path, place
        for key, value in place.items():
            yield from places(value, f"{path}/{key}")
    elif isinstance(place, list):
        for index, value in enumerate(place):
            yield from places(value, f"{path}/{index}")
