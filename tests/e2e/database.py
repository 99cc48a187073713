"""The PostgreSQL of the tests, as a platform's own would be: outside of the release, in a namespace of its own."""

from __future__ import annotations

import secrets
from typing import Any, Final

from e2e.commands import say
from e2e.kind import Cluster, Json

NAMESPACE: Final = "database"
_NAME: Final = "postgresql"
_LABELS: Final = {"app": _NAME}


def start(cluster: Cluster, image: str) -> str:
    """Starts it, empty, and returns its connection string."""
    say(f"database: starts {image}")
    password = secrets.token_hex(16)
    cluster.restricted_namespace(NAMESPACE)
    cluster.apply(_service(), _pod(image, password))
    cluster.kubectl("-n", NAMESPACE, "wait", "--for=condition=Ready", f"pod/{_NAME}", "--timeout=180s")
    return f"postgresql://chaingraph:{password}@{_NAME}.{NAMESPACE}.svc:5432/chaingraph"


def secret(name: str, namespace: str, url: str) -> Json:
    """The Secret that the chart is told about."""
    metadata = {"name": name, "namespace": namespace}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": {"url": url}}


def losses(cluster: Cluster, execution: str) -> int:
    """How often the execution of this name has lost its worker, by the ledger. What a worker hands back is no loss."""
    return _number(
        cluster, f"SELECT recoveries FROM chaingraph.executions WHERE name = '{execution}' AND parent_id IS NULL"
    )


def serving(cluster: Cluster, version: str) -> int:
    """How many workers of a version take new work, as they say themselves."""
    return _number(
        cluster,
        "SELECT count(*) FROM chaingraph.workers WHERE serving AND NOT draining AND expires_at > now()"
        f" AND application_version = '{version}'",
    )


def _number(cluster: Cluster, query: str) -> int:
    psql = 'PGPASSWORD=$POSTGRES_PASSWORD exec psql -h 127.0.0.1 -U "$POSTGRES_USER" -d "$POSTGRES_DB" -Atc "$0"'
    return int(cluster.kubectl("-n", NAMESPACE, "exec", _NAME, "--", "sh", "-c", psql, query).stdout)


def _service() -> Json:
    spec = {"selector": _LABELS, "ports": [{"port": 5432}]}
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": _NAME, "namespace": NAMESPACE}, "spec": spec}


def _pod(image: str, password: str) -> Json:
    environment = {
        "POSTGRES_USER": "chaingraph",
        "POSTGRES_DB": "chaingraph",
        "POSTGRES_PASSWORD": password,
        "PGDATA": "/var/lib/postgresql/data/pgdata",
    }
    places = {"data": "/var/lib/postgresql/data", "run": "/var/run/postgresql", "tmp": "/tmp"}
    probe = {"command": ["pg_isready", "--host=127.0.0.1", "--username=chaingraph"]}
    container: dict[str, Any] = {
        "name": _NAME,
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "env": [{"name": name, "value": value} for name, value in environment.items()],
        # Long enough for a machine that is busy: a database that is away for a lease takes every worker with it.
        "readinessProbe": {"exec": probe, "periodSeconds": 2, "timeoutSeconds": 10, "failureThreshold": 10},
        "resources": {"requests": {"cpu": "500m", "memory": "256Mi"}},
        "securityContext": CONTAINER,
        "volumeMounts": [{"name": name, "mountPath": path} for name, path in places.items()],
    }
    spec = {
        "securityContext": {**POD, "runAsUser": 999, "runAsGroup": 999, "fsGroup": 999},
        "containers": [container],
        "volumes": [{"name": name, "emptyDir": {}} for name in places],
    }
    metadata = {"name": _NAME, "namespace": NAMESPACE, "labels": _LABELS}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


POD: Final[Json] = {
    "runAsNonRoot": True,
    "seccompProfile": {"type": "RuntimeDefault"},
}
CONTAINER: Final[Json] = {
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "capabilities": {"drop": ["ALL"]},
}
"""What `restricted` asks for, and a file system that cannot be written."""
