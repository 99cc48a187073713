"""A pool of workers from a derived image, with nodes of its own."""

from __future__ import annotations

import json

import yaml

from e2e.images import DERIVED_PAGE, DERIVED_REPOSITORY, DERIVED_TAG, FIRST
from e2e.kind import Cluster
from e2e.release import NAMESPACE, Release
from e2e.work import Work
from fixtures.docs.pages import blocks


def test_the_documented_flow_runs_in_its_own_pool(release: Release, work: Work, cluster: Cluster) -> None:
    files = {each.value: each.text for each in blocks(DERIVED_PAGE) if each.note == "file"}
    pool = f"workers.acme.image.repository={DERIVED_REPOSITORY}", f"workers.acme.image.tag={DERIVED_TAG}"
    allowed = "operator.namespaceQueues={chaingraph-executions,acme}"
    release.upgrade(*pool, "workers.acme.queues={acme}", "workers.acme.replicas=1", allowed, tag=FIRST)
    work.kubectl("apply", "-f", "-", input=files["dew.yaml"])
    assert yaml.safe_load(files["dew.yaml"])["spec"]["queue"] == "acme"
    status = work.completes("dew", within=60)
    assert status["outputs"] == {"point": 13.9}
    pod = cluster.get("pod", work.pod_of("dew"), NAMESPACE)
    assert pod["spec"]["containers"][0]["image"] == f"{DERIVED_REPOSITORY}:{DERIVED_TAG}"
    assert pod["metadata"]["labels"]["chaingraph.dev/pool"] == "acme", json.dumps(pod["metadata"]["labels"])
