"""What the chart makes of values, without a cluster."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
import yaml

from fixtures.chart.helm import CHART, OF, TRIAL, Helm, Manifest, Rendered, environment, with_values
from fixtures.chart.values import COMBINATIONS, OWN_DATABASE

MONITORED = {"prometheusRule": {"enabled": True}, "dashboard": {"enabled": True}, "podMonitor": {"enabled": True}}
_NAME = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?")
_LABEL = re.compile(r"([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?")


@pytest.mark.parametrize("values", COMBINATIONS.values(), ids=COMBINATIONS)
def test_chart_passes_strict_lint(helm: Helm, values: dict[str, Any]) -> None:
    helm("lint", "--strict", str(CHART), helm.values(values))


@pytest.mark.parametrize("release", ["cg", "chaingraph", "a-release-whose-name-is-as-long-as-helm-lets-it-be-53"])
@pytest.mark.parametrize("values", COMBINATIONS.values(), ids=COMBINATIONS)
def test_names_and_labels_are_short_enough_and_unique(helm: Helm, values: dict[str, Any], release: str) -> None:
    rendered = helm.template(values, release=release)
    seen = set()
    for each in rendered:
        name = each["metadata"]["name"]
        assert _NAME.fullmatch(name), name
        if not each["kind"].endswith("CustomResourceDefinition") and "chaingraph.dev" not in name:
            assert len(name) <= 63, name
        for key, value in each["metadata"].get("labels", {}).items():
            assert _LABEL.fullmatch(value), (name, key, value)
        identity = (each["apiVersion"], each["kind"], each["metadata"].get("namespace"), name)
        assert identity not in seen, f"twice: {identity}"
        seen.add(identity)


@pytest.mark.parametrize("values", COMBINATIONS.values(), ids=COMBINATIONS)
def test_environment_variables_are_unique_per_container(helm: Helm, values: dict[str, Any]) -> None:
    for name, template in helm.template(values).pod_templates():
        for container in template["spec"]["containers"]:
            names = [each["name"] for each in container.get("env", [])]
            assert len(names) == len(set(names)), (name, sorted(names))


@pytest.mark.parametrize("values", COMBINATIONS.values(), ids=COMBINATIONS)
def test_service_account_token_mounts_only_for_api_clients(helm: Helm, values: dict[str, Any]) -> None:
    with_token = {"operator", "gateway", "removal", "test"}
    for name, template in helm.template(values).pod_templates():
        component = template["spec"]["containers"][0]["name"]
        reads_secrets = "CHAINGRAPH_SECRET_NAMESPACES" in json.dumps(template)
        assert template["spec"]["automountServiceAccountToken"] is (component in with_token or reads_secrets), name
        assert template["spec"]["serviceAccountName"] != "default", name


def test_extra_env_overrides_chart_variables(helm: Helm) -> None:
    secret = {"valueFrom": {"secretKeyRef": {"name": "vault", "key": "dsn"}}}
    extra = {"LOG_LEVEL": "debug", "DATABASE_URL_EXECUTIONS": secret, "RETRIES": 3}
    rendered = helm.template(with_values(TRIAL, {"workerDefaults": {"extraEnv": extra}}))
    [worker] = workers(rendered)
    environment = worker["spec"]["template"]["spec"]["containers"][0]["env"]
    found = {each["name"]: each for each in environment}
    assert found["LOG_LEVEL"]["value"] == "debug"
    assert found["RETRIES"]["value"] == "3"
    assert found["DATABASE_URL_EXECUTIONS"]["valueFrom"] == secret["valueFrom"]


def test_numeric_values_render_without_exponents(helm: Helm) -> None:
    rendered = helm.template(
        with_values(TRIAL, {"workerDefaults": {"maxTree": 100_000_000, "queuePollSeconds": 0.001}})
    )
    [worker] = workers(rendered)
    settings = environment(worker["spec"]["template"])
    assert settings["CHAINGRAPH_MAX_TREE"] == "100000000"
    assert settings["CHAINGRAPH_QUEUE_POLL_SECONDS"] == "0.001"


def test_worker_pool_renders_deployment_of_its_version(helm: Helm) -> None:
    rendered = helm.template(COMBINATIONS["everything"])
    pools = rendered.one("ConfigMap", "a-name-that-has-its-forty-characters-yes-worker-pools")["data"]
    assert pools == {
        "default": "7.1_x",
        "gpu": "2026.11.26-rc.1",
        "a-pool-with-the-longest-name-there-may-b": "a" * 12,
    }
    found = {}
    for each in workers(rendered):
        labels = each["metadata"]["labels"]
        pool, version = labels["chaingraph.dev/pool"], labels["chaingraph.dev/worker-version"]
        found[pool] = version
        selector = each["spec"]["selector"]["matchLabels"]
        assert selector.items() <= each["spec"]["template"]["metadata"]["labels"].items()
        assert (selector["chaingraph.dev/pool"], selector["chaingraph.dev/worker-version"]) == (pool, version)
        settings = environment(each["spec"]["template"])
        assert (settings["CHAINGRAPH_POOL"], settings["CHAINGRAPH_WORKER_VERSION"]) == (pool, version)
        annotations = each["metadata"]["annotations"]
        assert annotations["helm.sh/resource-policy"] == "keep"
        assert annotations["argocd.argoproj.io/sync-options"] == "Prune=false"
    assert found == pools


@pytest.mark.parametrize(
    ("values", "version"),
    [
        ({}, "0.1.0"),
        ({"image": {"tag": "1.2"}}, "1.2"),
        ({"image": {"tag": "1.2", "digest": "sha256:" + "b" * 64}}, "b" * 12),
        ({"image": {"tag": "1.2"}, "workerDefaults": {"image": {"repository": "mine", "tag": "9"}}}, "9"),
        ({"image": {"digest": "sha256:" + "b" * 64}, "workerDefaults": {"image": {"tag": "9"}}}, "9"),
        ({"workerDefaults": {"version": "blue"}}, "blue"),
        ({"workerDefaults": {"version": "blue"}, "workers": {"default": {"version": "green"}}}, "green"),
    ],
)
def test_worker_version_defaults_to_image_version(helm: Helm, values: dict[str, Any], version: str) -> None:
    [worker] = workers(helm.template(with_values(TRIAL, values)))
    assert worker["metadata"]["labels"]["chaingraph.dev/worker-version"] == version


def test_image_references_follow_values(helm: Helm) -> None:
    images = {"image": {"registry": "registry.example.com", "digest": "sha256:" + "c" * 64}}
    pools = {"workers": {"own": {"queues": ["own"], "image": {"repository": "team/worker", "tag": "3"}}}}
    found = {}
    for name, template in helm.template(with_values(TRIAL, images, pools)).pod_templates():
        found[name.rpartition("cg-chaingraph-")[2]] = template["spec"]["containers"][0]["image"]
    ours = "registry.example.com/chaingraph@sha256:" + "c" * 64
    assert found["operator"] == found["gateway"] == found["test"] == found["remove-workers"] == ours
    assert found["worker-own-3"] == "registry.example.com/team/worker:3"
    assert found["postgresql"] == "postgres:17", "it comes from elsewhere"


def test_numeric_looking_names_stay_strings(helm: Helm) -> None:
    pools = {"1e3": {"queues": ["on"], "version": "007"}, "null": {"queues": ["q"], "extraEnv": {"NO": "off"}}}
    values = with_values(TRIAL, {"workers": pools, "namespaces": ["1e3", "007"], "commonLabels": {"cost": "12"}})
    done = helm("template", "7", str(CHART), "--namespace=007", OF, helm.values(values))
    rendered = Rendered([each for each in yaml.safe_load_all(done.stdout) if each])
    pattern = {"metadata", "labels", "matchLabels", "name", "namespace", "value", "resourceNames", "data"}
    for each in rendered:
        if each["kind"] != "CustomResourceDefinition":
            for key, value in leaves_of(each):
                assert key not in pattern or isinstance(value, str), (each["kind"], key, value)
            for key, value in each["metadata"].get("labels", {}).items():
                assert isinstance(value, str), (each["kind"], key, value)
            assert isinstance(each["metadata"].get("namespace", ""), str)
    assert {each["metadata"]["labels"]["chaingraph.dev/pool"] for each in workers(rendered)} == {"default", *pools}
    for each in workers(rendered):
        selector = each["spec"]["selector"]["matchLabels"]
        assert all(isinstance(value, str) for value in selector.values()), selector
    [worker] = [each for each in workers(rendered) if each["metadata"]["labels"]["chaingraph.dev/pool"] == "1e3"]
    settings = environment(worker["spec"]["template"])
    assert (settings["CHAINGRAPH_POOL"], settings["CHAINGRAPH_WORKER_VERSION"]) == ("1e3", "007")
    [operator] = [each for each in rendered.of("Deployment") if each["metadata"]["name"].endswith("-operator")]
    settings = environment(operator["spec"]["template"])
    assert settings["CHAINGRAPH_WORKER_NAMESPACE"] == settings["CHAINGRAPH_LEASE_NAMESPACE"] == "007"
    assert settings["CHAINGRAPH_RELEASE"] == "7"
    assert settings["CHAINGRAPH_NAMESPACES"] == "1e3,007"


def test_similar_versions_get_distinct_deployment_names(helm: Helm) -> None:
    names = set()
    for version in ("1.0", "1_0", "1-0", "1.0.0-an-exceptionally-long-version-of-a-worker-image-a", "A", "a"):
        [worker] = workers(helm.template(with_values(TRIAL, {"workerDefaults": {"version": version}})))
        names.add(worker["metadata"]["name"])
    assert len(names) == 6


def test_worker_grace_period_exceeds_drain_time(helm: Helm) -> None:
    [worker] = workers(helm.template(with_values(TRIAL, {"workerDefaults": {"drainSeconds": 90.5}})))
    assert worker["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] == 121


def test_autoscaled_pool_has_no_replica_count(helm: Helm) -> None:
    rendered = helm.template(COMBINATIONS["everything"])
    by_pool = {each["metadata"]["labels"]["chaingraph.dev/pool"]: each for each in workers(rendered)}
    assert "replicas" not in by_pool["default"]["spec"]
    assert "replicas" not in by_pool["gpu"]["spec"]
    [scaler] = rendered.of("HorizontalPodAutoscaler")
    assert scaler["spec"]["scaleTargetRef"]["name"] == by_pool["default"]["metadata"]["name"]
    metrics = [each.get("external", {}).get("metric", {}).get("name") for each in scaler["spec"]["metrics"]]
    assert metrics == [None, "chaingraph_queue_waiting", "chaingraph_queue_running"]
    [scaled] = rendered.of("ScaledObject")
    assert scaled["spec"]["scaleTargetRef"]["name"] == by_pool["gpu"]["metadata"]["name"]
    trigger = scaled["spec"]["triggers"][0]["metadata"]
    assert 'queue=~"gpu|gpu-large"' in trigger["query"]
    assert trigger["threshold"] == "1"


def test_migration_is_pre_install_hook_with_existing_database(helm: Helm) -> None:
    [job] = [each for each in helm.template(OWN_DATABASE).of("Job") if "migration" in each["metadata"]["name"]]
    assert job["metadata"]["annotations"]["helm.sh/hook"] == "pre-install,pre-upgrade"
    assert "rollback" not in json.dumps(job["metadata"]), "an old migration has nothing to do in a newer database"


def test_migration_is_plain_job_with_bundled_database(helm: Helm) -> None:
    [job] = [each for each in helm.template(TRIAL).of("Job") if "migration" in each["metadata"]["name"]]
    assert "annotations" not in job["metadata"]
    [again] = [
        each
        for each in helm.template(with_values(TRIAL, {"image": {"tag": "2"}})).of("Job")
        if "migration" in each["metadata"]["name"]
    ]
    assert job["metadata"]["name"] != again["metadata"]["name"], "a Job cannot be changed"


def test_processes_get_their_own_database_role(helm: Helm) -> None:
    found = {}
    for _, template in helm.template(COMBINATIONS["own database, three roles"]).pod_templates():
        container = template["spec"]["containers"][0]
        for each in container.get("env", []):
            if each["name"] == "DATABASE_URL_EXECUTIONS":
                secret = each["valueFrom"]["secretKeyRef"]
                found[container["name"]] = (secret["name"], secret["key"])
    assert found == {
        "operator": ("database", "url"),
        "worker": ("database", "url"),
        "migration": ("owner", "uri"),
        "gateway": ("reader", "dsn"),
    }


def test_pools_get_their_own_database_role(helm: Helm) -> None:
    found, said = {}, {}
    for _, template in helm.template(COMBINATIONS["own database, roles of pools"]).pod_templates():
        settings = {each["name"]: each for each in template["spec"]["containers"][0].get("env", [])}
        if "CHAINGRAPH_POOL" in settings:
            secret = settings["DATABASE_URL_EXECUTIONS"]["valueFrom"]["secretKeyRef"]
            found[settings["CHAINGRAPH_POOL"]["value"]] = (secret["name"], secret["key"])
        if "CHAINGRAPH_POOL_ROLES" in settings:
            said = json.loads(settings["CHAINGRAPH_POOL_ROLES"]["value"])
    assert found == {"default": ("database", "url"), "billing": ("billing", "uri")}
    assert said == {
        "billing": {"role": "billing", "queues": ["billing"]},
        "gone": {"role": "gone", "queues": ["old"]},
    }, "also of a pool that is not enabled: its workers may have something to end"


def test_crd_keep_policy_follows_values(helm: Helm) -> None:
    for keep in (True, False):
        for each in helm.template(with_values(TRIAL, {"crds": {"keep": keep}})).of("CustomResourceDefinition"):
            kept = each["metadata"].get("annotations", {}).get("helm.sh/resource-policy") == "keep"
            assert kept is keep, each["metadata"]["name"]


def test_chart_crds_match_crds_folder(helm: Helm) -> None:
    rendered = helm.template(with_values(TRIAL, {"crds": {"keep": False}}))
    expected: list[Manifest] = []
    for path in sorted((CHART.parents[1] / "crds").glob("*.yaml")):
        expected += [each for each in yaml.safe_load_all(path.read_text(encoding="utf-8")) if each]
    assert len(expected) == 6
    for each in expected:
        assert each in rendered, each["metadata"]["name"]


def test_listed_namespaces_limit_operator_rights(helm: Helm) -> None:
    rendered = helm.template(with_values(OWN_DATABASE, {"namespaces": ["team-a", "team-b"]}))
    operator = "app.kubernetes.io/component"
    wide = [each for each in rendered.of("ClusterRole") if each["metadata"]["labels"][operator] == "operator"]
    assert wide == []
    roles = {
        each["metadata"]["namespace"]: each["rules"]
        for each in rendered.of("Role")
        if each["metadata"]["labels"][operator] == "operator"
    }
    assert set(roles) == {"team-a", "team-b", "here", "kube-system"}
    assert roles["kube-system"] == [
        {"apiGroups": [""], "resources": ["namespaces"], "resourceNames": ["kube-system"], "verbs": ["get"]}
    ]


@pytest.mark.parametrize(
    ("values", "namespace"),
    [
        ({}, "here"),
        ({"namespaces": ["here", "there"]}, "here"),
        ({"namespaces": ["there", "everywhere"]}, "there"),
        ({"namespaces": ["there", "everywhere"], "test": {"namespace": "everywhere"}}, "everywhere"),
    ],
)
def test_helm_test_pod_uses_a_served_namespace(helm: Helm, values: dict[str, Any], namespace: str) -> None:
    rendered = helm.template(with_values(OWN_DATABASE, values))
    [pod] = rendered.of("Pod")
    assert environment({"spec": pod["spec"]})["TEST_NAMESPACE"] == namespace
    assert rendered.one("Role", "cg-chaingraph-test")["metadata"]["namespace"] == namespace


@pytest.mark.parametrize(
    ("values", "address", "name"),
    [
        ({}, "https://cg-chaingraph-gateway.here.svc:8443", "cg-chaingraph-gateway.here.svc"),
        ({"url": "https://chaingraph.example.com/"}, "https://chaingraph.example.com", "chaingraph.example.com"),
        ({"url": "https://10.1.2.3:30443"}, "https://10.1.2.3:30443", "10.1.2.3"),
        ({"ingress": {"enabled": True, "host": "cg.example.com"}}, "https://cg.example.com", "cg.example.com"),
    ],
)
def test_discovery_address_matches_gateway_certificate(
    helm: Helm, values: dict[str, Any], address: str, name: str
) -> None:
    rendered = helm.template(with_values(TRIAL, {"gateway": values}))
    told = rendered.one("ConfigMap", "chaingraph")
    assert told["metadata"]["namespace"] == "kube-public"
    assert told["data"]["gateway"] == address
    assert told["data"]["version"] == metadata.version("chaingraph")
    assert told["data"]["ca.crt"].startswith("-----BEGIN CERTIFICATE-----")
    certificate = rendered.one("Secret", "cg-chaingraph-gateway-tls")
    assert name in certificate["metadata"]["annotations"]["chaingraph.dev/tls-names"].split(",")


def test_tracing_is_off_without_otlp_endpoint(helm: Helm) -> None:
    for _, template in helm.template(TRIAL).pod_templates():
        assert not [each for each in environment(template) if each.startswith("OTEL")]
    for name, template in helm.template(COMBINATIONS["everything"]).pod_templates():
        if "postgresql" not in name:
            settings = environment(template)
            assert settings["OTEL_EXPORTER_OTLP_ENDPOINT"] == "http://collector.tracing.svc:4318", name
            assert settings["OTEL_TRACES_SAMPLER_ARG"] == "0.1"
            assert settings["OTEL_RESOURCE_ATTRIBUTES"] == "deployment.environment=a%20b"


def test_pod_security_context_can_omit_user_ids(helm: Helm) -> None:
    nobody = {"runAsUser": None, "runAsGroup": None, "fsGroup": None}
    for name, template in helm.template(
        with_values(TRIAL, {"podSecurityContext": nobody, "postgresql": {"uid": None}})
    ).pod_templates():
        context = template["spec"]["securityContext"]
        assert not {"runAsUser", "runAsGroup", "fsGroup"} & set(context), name
        assert context["runAsNonRoot"] is True
        assert context["seccompProfile"] == {"type": "RuntimeDefault"}


def test_pool_overrides_service_account_and_runtime_class(helm: Helm) -> None:
    own = {"serviceAccountName": "reads-models", "runtimeClassName": "gvisor", "queues": ["other"]}
    found = {
        each["metadata"]["labels"]["chaingraph.dev/pool"]: each["spec"]["template"]["spec"]
        for each in workers(helm.template(with_values(TRIAL, {"workers": {"other": own}})))
    }
    assert found["default"]["serviceAccountName"] == "cg-chaingraph-worker"
    assert "runtimeClassName" not in found["default"]
    assert (found["other"]["serviceAccountName"], found["other"]["runtimeClassName"]) == ("reads-models", "gvisor")


def test_packaged_chart_renders_the_same_objects(helm: Helm, tmp_path: Path) -> None:
    values = with_values(OWN_DATABASE, {"gateway": {"enabled": False}, "monitoring": MONITORED})
    helm("package", str(CHART), f"--destination={tmp_path}")
    [package] = tmp_path.glob("chaingraph-*.tgz")
    done = helm("template", "cg", str(package), "--namespace=here", OF, helm.values(values))
    assert [each for each in yaml.safe_load_all(done.stdout) if each] == helm.template(values)


def test_parent_chart_can_include_chart_twice(helm: Helm, tmp_path: Path) -> None:
    parent = tmp_path / "parent"
    (parent / "charts").mkdir(parents=True)
    chart: dict[str, Any] = {"apiVersion": "v2", "name": "parent", "version": "1.0.0"}
    chart["dependencies"] = [
        {"name": "chaingraph", "version": "*", "repository": f"file://{CHART}", "alias": alias}
        for alias in ("one", "two")
    ]
    (parent / "Chart.yaml").write_text(yaml.safe_dump(chart), encoding="utf-8")
    helm("dependency", "update", str(parent))
    apart = with_values(TRIAL, {"crds": {"enabled": False}, "gateway": {"discovery": {"enabled": False}}})
    values = helm.values({"one": apart, "two": apart, "global": {"shared": True}})
    done = helm("template", "cg", str(parent), "--namespace=here", OF, values)
    rendered = Rendered([each for each in yaml.safe_load_all(done.stdout) if each])
    identities = [(each["kind"], each["metadata"].get("namespace"), each["metadata"]["name"]) for each in rendered]
    assert len(identities) == len(set(identities)), "two of one name"
    for name in ("cg-one", "cg-two"):
        operator = rendered.one("Deployment", f"{name}-operator")
        assert environment(operator["spec"]["template"])["CHAINGRAPH_RELEASE"] == name
    instances = [each["metadata"]["labels"]["app.kubernetes.io/instance"] for each in workers(rendered)]
    assert sorted(instances) == ["cg-one", "cg-two"], "an operator removes what it takes for its own"


def test_egress_policies_cover_every_pod_with_needed_ports(helm: Helm) -> None:
    rendered = helm.template(
        with_values(TRIAL, {"networkPolicy": {"egress": {"enabled": True}, "workerEgress": {"enabled": True}}})
    )
    policies = {
        each["spec"]["podSelector"]["matchLabels"]["app.kubernetes.io/component"]: each["spec"]
        for each in rendered.of("NetworkPolicy")
    }
    components = {
        (template["metadata"].get("labels") or {"app.kubernetes.io/component": "test"})["app.kubernetes.io/component"]
        for _, template in rendered.pod_templates()
    }
    assert components == set(policies)
    reached = {}
    for component, spec in policies.items():
        assert "Egress" in spec["policyTypes"], component
        ports = {each.get("port", "internet") for rule in spec.get("egress", []) for each in rule["ports"]}
        reached[component] = ports
    everybody = {53}
    assert reached == {
        "operator": everybody | {443, 6443, 5432},
        "gateway": everybody | {443, 6443, 5432},
        "worker": everybody | {5432, "internet"},
        "migration": everybody | {5432},
        "removal": everybody | {443, 6443},
        "test": everybody | {443, 6443},
        "postgresql": set(),
    }


def test_pre_delete_hook_waits_for_worker_drain(helm: Helm) -> None:
    rendered = helm.template(with_values(TRIAL, {"workerDefaults": {"drainSeconds": 300}}))
    [job] = [each for each in rendered.of("Job") if "remove-workers" in each["metadata"]["name"]]
    assert job["metadata"]["annotations"]["helm.sh/hook"] == "pre-delete"
    container = job["spec"]["template"]["spec"]["containers"][0]
    settings = environment(job["spec"]["template"])
    assert settings["CHAINGRAPH_WORKER_NAMESPACE"] == "here"
    assert settings["CHAINGRAPH_RELEASE"] == "cg"
    assert "DATABASE_URL_EXECUTIONS" not in [each["name"] for each in container["env"]]
    [worker] = workers(rendered)
    grace = worker["spec"]["template"]["spec"]["terminationGracePeriodSeconds"]
    assert grace < int(settings["CHAINGRAPH_REMOVE_WAIT_SECONDS"]) < job["spec"]["activeDeadlineSeconds"]


def test_database_policy_admits_only_its_release(helm: Helm) -> None:
    policy = helm.template(TRIAL).one("NetworkPolicy", "cg-chaingraph-postgresql")
    [rule] = policy["spec"]["ingress"]
    [peer] = rule["from"]
    assert peer["podSelector"]["matchLabels"]["app.kubernetes.io/instance"] == "cg"
    assert policy["spec"]["policyTypes"] == ["Ingress", "Egress"]
    assert "egress" not in policy["spec"]


def leaves_of(value: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    """What is neither map nor list, with the key that it stands under."""
    if isinstance(value, dict):
        for name, each in value.items():
            yield from leaves_of(each, str(name))
    elif isinstance(value, list):
        for each in value:
            yield from leaves_of(each, key)
    else:
        yield key, value


def workers(rendered: Rendered) -> list[Manifest]:
    return [each for each in rendered.of("Deployment") if "chaingraph.dev/pool" in each["metadata"]["labels"]]
