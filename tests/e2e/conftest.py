"""Fixtures of the end-to-end tests on kind, which `make e2e` runs and `make test` does not. All are of the session, and
the tests follow one another: one cluster, one release, and its life from installation to removal.

surroundings   what the environment says
images         built and loaded
cluster        a kind cluster
release        the chart's release, installed once some test wants it
work           a team's namespace, with tools and data

A failure leaves logs, descriptions and events of all Pods in E2E_EVIDENCE, a folder; by default a new one below /tmp.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any

import pytest

from e2e import database, evidence, kind
from e2e.commands import ROOT, say
from e2e.images import FIRST, Images, build
from e2e.kind import Cluster
from e2e.release import DATABASE_SECRET, NAMESPACE, Release
from e2e.surroundings import CLUSTER, Surroundings, missing
from e2e.work import Work

_CLUSTERS: list[Cluster] = []


@pytest.fixture(scope="session")
def surroundings() -> Surroundings:
    if error := missing():
        pytest.exit(f"make e2e cannot begin. {error}", returncode=2)
    return Surroundings.read()


@pytest.fixture(scope="session")
def _prepared(surroundings: Surroundings) -> Iterator[tuple[Cluster, Images]]:
    """The cluster starts while the images are built."""
    with tempfile.TemporaryDirectory(prefix="chaingraph-e2e-") as folder, ThreadPoolExecutor() as together:
        starting = together.submit(kind.create, surroundings, Path(folder, "kubeconfig"))
        try:
            images = build(surroundings)
            cluster = starting.result()
            _CLUSTERS.append(cluster)
            kind.load(images.to_load(surroundings))
            yield cluster, images
        finally:
            wait([starting])
            _end(surroundings)


def _end(surroundings: Surroundings) -> None:
    if surroundings.keep:
        say(f"kind: the cluster stays (kind export kubeconfig --name {CLUSTER})")
    else:
        say(f"kind: deletes the cluster {CLUSTER}")
        kind.delete()


@pytest.fixture(scope="session")
def images(_prepared: tuple[Cluster, Images]) -> Images:
    return _prepared[1]


@pytest.fixture(scope="session")
def cluster(_prepared: tuple[Cluster, Images]) -> Cluster:
    return _prepared[0]


@pytest.fixture(scope="session")
def release(cluster: Cluster, images: Images) -> Release:
    """Installed in a namespace that enforces `restricted`, on a PostgreSQL outside of it."""
    url = database.start(cluster, images.postgres)
    cluster.restricted_namespace(NAMESPACE)
    cluster.apply(database.secret(DATABASE_SECRET, NAMESPACE, url))
    release = Release(cluster)
    release.install(tag=FIRST)
    return release


@pytest.fixture(scope="session")
def work(cluster: Cluster, images: Images) -> Work:
    work = Work(cluster)
    work.open(tools_image=images.with_kubectl, server_image=images.first, data=ROOT / "examples" / "data")
    return work


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[Any]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Says how each test went, and collects the evidence of one that failed while its cluster is still there."""
    report = yield
    if report.when == "call" or report.failed:
        say(f"{item.name}: {report.outcome} after {report.duration:.0f} s")
    if report.failed and _CLUSTERS:
        folder = Path(os.environ.get("E2E_EVIDENCE") or tempfile.mkdtemp(prefix="chaingraph-e2e-evidence-"))
        evidence.collect(_CLUSTERS[0], folder)
        evidence.helm_history(_CLUSTERS[0], folder, NAMESPACE)
    return report
