"""The chart's own PostgreSQL, for trials: the shortest way from nothing to an execution that ends."""

from __future__ import annotations

import time

from e2e.commands import ROOT, say
from e2e.images import FIRST, Images
from e2e.kind import Cluster
from e2e.release import Release


def test_trial_runs_on_the_bundled_database(release: Release, cluster: Cluster, images: Images) -> None:
    release.uninstall()
    # A new database knows nothing of them, and would say so.
    cluster.kubectl("delete", "executions", "--all", "--all-namespaces", "--timeout=60s")
    repository, _, tag = images.postgres.rpartition(":")
    began = time.monotonic()
    release.install(
        "database.existingSecret.name=",
        "postgresql.enabled=true",
        f"postgresql.image.repository={repository}",
        f"postgresql.image.tag={tag}",
        f"postgresql.persistence.enabled={str(_can_keep_data(cluster)).lower()}",
        tag=FIRST,
    )
    cluster.kubectl("-n", "default", "apply", "-f", str(ROOT / "examples" / "01-hello.yaml"))
    cluster.kubectl("-n", "default", "wait", "--for=condition=Succeeded", "execution/hello", "--timeout=60s")
    say(f"MEASURED helm install with PostgreSQL to the first Completed execution: {time.monotonic() - began:.0f} s")
    assert "Succeeded" in release.test()


def _can_keep_data(cluster: Cluster) -> bool:
    """Whether the cluster makes volumes. kind does; a cluster without a default storage class does not."""
    marked = "storageclass.kubernetes.io/is-default-class"
    classes = cluster.list("storageclasses", "default")
    return any(each["metadata"].get("annotations", {}).get(marked) == "true" for each in classes)
