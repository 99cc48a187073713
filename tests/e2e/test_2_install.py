"""From an empty cluster to executions that end, as somebody sees it who installs the chart."""

from __future__ import annotations

import time

import pytest

from chaingraph_cli.local import examples
from e2e.commands import ROOT, say
from e2e.kind import Cluster
from e2e.release import NAMESPACE, Release
from e2e.work import DATA_URL, Work
from fixtures.flows.example_ends import check_all

_EXAMPLES = ROOT / "examples"
_FIRST_COMPLETED_SECONDS = 300
"""Five minutes, as the documentation promises."""


def test_install_reaches_a_completed_execution_in_time(
    cluster: Cluster, work: Work, request: pytest.FixtureRequest
) -> None:
    began = time.monotonic()
    release: Release = request.getfixturevalue("release")
    installed = time.monotonic() - began
    release.cluster.kubectl("-n", "default", "apply", "-f", str(_EXAMPLES / "01-hello.yaml"))
    cluster.kubectl("-n", "default", "wait", "--for=condition=Succeeded", "execution/hello", "--timeout=60s")
    seconds = time.monotonic() - began
    say(
        f"MEASURED database and helm install --wait {installed:.0f} s; to the first Completed execution {seconds:.0f} s"
    )
    assert seconds < _FIRST_COMPLETED_SECONDS


def test_pods_keep_to_the_restricted_standard(release: Release, cluster: Cluster) -> None:
    """The namespace refuses what does not; and nothing was so much as warned about when Pods were made."""
    refused = cluster.kubectl("-n", NAMESPACE, "get", "events", "--field-selector=reason=FailedCreate", "-o", "name")
    assert refused.stdout == ""
    assert len(release.ready("operator")) == 2
    assert len(release.ready("worker")) == 2
    assert release.ready("gateway")
    for component in ("operator", "worker", "gateway"):
        for pod in release.pods(component):
            assert all(each["restartCount"] == 0 for each in pod["status"]["containerStatuses"]), pod["metadata"][
                "name"
            ]


def test_helm_test_succeeds(release: Release) -> None:
    assert "Succeeded" in release.test()


def test_all_examples_pass_their_checks(release: Release, work: Work) -> None:
    # Without the one that needs the right to read Secrets, which this release does not give.
    found = [each for each in examples.load(_EXAMPLES) if each.file.name != "12-secrets.yaml"]
    check_all(work.kubectl, found, DATA_URL)


def test_image_commands_find_cluster_and_gateway(release: Release, work: Work) -> None:
    """They find cluster, credentials and gateway from inside of a Pod."""
    assert "Completed" in work.chaingraph("get", "hello")
    assert "greet" in work.chaingraph("nodes", "hello")
    types = [each["type"] for each in work.events("hello")]
    assert types[0] == "execution:created"
    assert types[-1] == "flow:completed"
