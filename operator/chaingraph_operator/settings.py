"""The operator's settings, from environment variables."""

from __future__ import annotations

import re
import socket
from collections.abc import Callable
from datetime import timedelta
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator
from pydantic_settings import NoDecode, SettingsConfigDict

from chaingraph_operator.decide import allowance
from chaingraph_runtime.environment import ServingSettings
from chaingraph_store.errors import SettingsRefused
from chaingraph_store.ledger import checked_dsn
from chaingraph_store.queue.dispatch import RUN_QUEUE, TOP_PRIORITY
from chaingraph_store.tenancy.policies import NamespacePolicy

_Parse = Callable[[str], object]
Unlimited = Literal["unlimited"]
_NAMESPACE = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")


class Settings(ServingSettings):
    """All environment variables of the operator, except those of the Kubernetes configuration (KUBECONFIG)."""

    model_config = SettingsConfigDict(extra="ignore", populate_by_name=True)

    database_url: str = Field(
        validation_alias="DATABASE_URL_EXECUTIONS",
        description="PostgreSQL database of ledger and DBOS, as postgresql://user:password@host:5432/database.",
    )
    application_name: str = Field(
        default="chaingraph-executor",
        validation_alias="DBOS_APPLICATION_NAME",
        min_length=1,
        description="DBOS application name of the workers. Operator and workers must use the same.",
    )
    namespaces: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(),
        validation_alias="CHAINGRAPH_NAMESPACES",
        description="Namespaces to serve, separated by commas. Empty for the whole cluster.",
    )
    reconcile_workers: int = Field(
        default=8,
        ge=1,
        le=64,
        validation_alias="CHAINGRAPH_RECONCILE_WORKERS",
        description="Number of executions reconciled at the same time, from 1 to 64.",
    )
    status_writers: int = Field(
        default=16,
        ge=1,
        le=64,
        validation_alias="CHAINGRAPH_STATUS_WRITERS",
        description="Number of status patches in flight at the same time, from 1 to 64.",
    )
    child_resources_per_second: float = Field(
        default=50,
        gt=0,
        le=1000,
        validation_alias="CHAINGRAPH_CHILD_RESOURCES_PER_SECOND",
        description="Maximum number of resources created for children per second, above 0 up to 1000.",
    )
    resync_seconds: float = Field(
        default=600,
        ge=5,
        validation_alias="CHAINGRAPH_RESYNC_SECONDS",
        description="Seconds between two reconciliations of every unfinished execution and every Flow, 5 or more.",
    )
    sweep_seconds: float = Field(
        default=60,
        ge=1,
        validation_alias="CHAINGRAPH_SWEEP_SECONDS",
        description="Seconds between two searches for executions whose resource was deleted unseen, 1 or more.",
    )
    ledger_retention_days: float = Field(
        default=30,
        ge=0,
        le=36_500,
        validation_alias="CHAINGRAPH_LEDGER_RETENTION_DAYS",
        description=(
            "Days to keep an ended execution without a resource in the database, with its events and journal. "
            "0 or empty to keep it forever."
        ),
    )
    adopt_cluster: str = Field(
        default="",
        validation_alias="CHAINGRAPH_ADOPT_CLUSTER",
        description=(
            "Cluster that the database belonged to before, as named in the operator's error. This cluster replaces it. "
            "No effect afterwards."
        ),
    )

    flow_check_cpu_seconds: float = Field(
        default=2,
        ge=0.1,
        le=60,
        validation_alias="CHAINGRAPH_FLOW_CHECK_CPU_SECONDS",
        description="CPU seconds for the validation of one Flow, from 0.1 to 60. Beyond, the Flow is TooComplex.",
    )
    flow_check_memory_mb: int = Field(
        default=160,
        ge=96,
        le=4096,
        validation_alias="CHAINGRAPH_FLOW_CHECK_MEMORY_MB",
        description=(
            "Megabytes for the validation of one Flow, from 96 to 4096. Beyond, the Flow is TooComplex. "
            "Two validations may run at the same time, in addition to the operator."
        ),
    )
    namespace_queues: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(RUN_QUEUE,),
        validation_alias="CHAINGRAPH_NAMESPACE_QUEUES",
        description="Queues of a namespace without the annotation chaingraph.dev/queues, "
        "separated by commas. * for all.",
    )
    namespace_max_running: Annotated[int | Unlimited, NoDecode] = Field(
        default=allowance.UNLIMITED,
        validation_alias="CHAINGRAPH_NAMESPACE_MAX_RUNNING",
        description="Maximum number of running executions of a namespace, over all queues, without the annotation "
        "chaingraph.dev/max-running. unlimited for no limit.",
    )
    namespace_max_waiting: Annotated[int | Unlimited, NoDecode] = Field(
        default=20_000,
        validation_alias="CHAINGRAPH_NAMESPACE_MAX_WAITING",
        description="Maximum number of waiting executions of a namespace in the database, without the annotation "
        "chaingraph.dev/max-waiting. Further ones are queued later. unlimited for no limit.",
    )
    namespace_max_priority: int = Field(
        default=TOP_PRIORITY,
        ge=0,
        le=TOP_PRIORITY,
        validation_alias="CHAINGRAPH_NAMESPACE_MAX_PRIORITY",
        description="Highest spec.priority of a namespace without the annotation chaingraph.dev/max-priority. "
        "A priority counts within its namespace only.",
    )
    namespace_max_ledger_bytes: Annotated[int | Unlimited, NoDecode] = Field(
        default=allowance.UNLIMITED,
        validation_alias="CHAINGRAPH_NAMESPACE_MAX_LEDGER_BYTES",
        description="Maximum size of a namespace's executions in the database, such as 10Gi, without the annotation "
        "chaingraph.dev/max-ledger-bytes. Beyond, new executions wait. unlimited for no limit.",
    )
    namespace_seconds: float = Field(
        default=10,
        ge=0,
        le=3600,
        validation_alias="CHAINGRAPH_NAMESPACE_SECONDS",
        description="Seconds between two readings of a Namespace's annotations, from 0 to 3600. With more than "
        "50 namespaces, those without new executions are read later.",
    )
    accounting_seconds: float = Field(
        default=30,
        ge=1,
        le=3600,
        validation_alias="CHAINGRAPH_ACCOUNTING_SECONDS",
        description="Seconds between two measurements of the database size of executions, in namespaces with such a "
        "limit, from 1 to 3600.",
    )

    leader_election: bool = Field(
        default=False,
        validation_alias="CHAINGRAPH_LEADER_ELECTION",
        description="Whether several operators run for the same namespaces. One of them leads, by a Lease.",
    )
    lease_namespace: str = Field(
        default="",
        pattern=r"^([a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?)?$",
        validation_alias="CHAINGRAPH_LEASE_NAMESPACE",
        description="Namespace of the Lease. Empty for the Pod's own.",
    )
    lease_name: str = Field(
        default="chaingraph-operator",
        pattern=r"^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$",
        validation_alias="CHAINGRAPH_LEASE_NAME",
        description="Name of the Lease. One for each group of operators that serve the same namespaces.",
    )
    lease_duration_seconds: int = Field(
        default=15,
        ge=2,
        le=600,
        validation_alias="CHAINGRAPH_LEASE_DURATION_SECONDS",
        description="Lease duration in seconds, from 2 to 600. A Lease not renewed for this long expires.",
    )
    lease_deadline_seconds: float = Field(
        default=10,
        gt=0,
        validation_alias="CHAINGRAPH_LEASE_RENEW_SECONDS",
        description="Seconds without a renewal after which the leader exits. Less than the Lease duration.",
    )
    lease_retry_seconds: float = Field(
        default=2,
        gt=0,
        validation_alias="CHAINGRAPH_LEASE_RETRY_SECONDS",
        description="Seconds between two attempts to acquire or renew. At most half of the renew deadline.",
    )
    loop_deadline_seconds: float = Field(
        default=60,
        ge=1,
        validation_alias="CHAINGRAPH_LOOP_DEADLINE_SECONDS",
        description=(
            "Seconds without a turn of its event loop after which the leader exits, 1 or more. "
            "The Lease is renewed in its own thread, which a busy event loop does not delay."
        ),
    )
    pod_name: str = Field(
        default_factory=socket.gethostname,
        validation_alias="CHAINGRAPH_POD_NAME",
        min_length=1,
        description="Name of this operator in the Lease, the database and Events, such as the Pod's name.",
    )

    worker_namespace: str = Field(
        default="",
        validation_alias="CHAINGRAPH_WORKER_NAMESPACE",
        description="Namespace of the worker Deployments to manage. Versions other than the current one of a pool "
        "are retired once that one serves, and removed once they have no executions left. Empty to manage none.",
    )
    release: str = Field(
        default="",
        validation_alias="CHAINGRAPH_RELEASE",
        description="Release of these workers, as in their label app.kubernetes.io/instance.",
    )
    metric_queues: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(),
        validation_alias="CHAINGRAPH_METRIC_QUEUES",
        description=(
            "Queues that always have metrics of their own, separated by commas, such as queues of pools scaled to "
            "zero. All other queues without a worker are summed as (other)."
        ),
    )
    worker_pools: str = Field(
        default="chaingraph-worker-pools",
        min_length=1,
        validation_alias="CHAINGRAPH_WORKER_POOLS",
        description="Name of the ConfigMap in that namespace with the current version of each pool.",
    )

    @field_validator("database_url")
    @classmethod
    def _checked_database(cls, value: str) -> str:
        try:
            return checked_dsn(value)
        except SettingsRefused as refused:
            raise ValueError(str(refused)) from refused

    @field_validator("ledger_retention_days", mode="before")
    @classmethod
    def _empty_is_never(cls, value: object) -> object:
        return 0 if isinstance(value, str) and not value.strip() else value

    @field_validator("adopt_cluster", mode="after")
    @classmethod
    def _trimmed(cls, value: str) -> str:
        return value.strip()

    @field_validator("namespaces", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        names = tuple(name.strip() for name in value.split(",") if name.strip())
        wrong = [name for name in names if not _NAMESPACE.fullmatch(name)]
        if wrong:
            raise ValueError(f"{wrong[0]!r} is not a namespace name. Write the list as team-a,team-b")
        return names

    @field_validator("metric_queues", mode="before")
    @classmethod
    def _split_queues(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        return tuple(name.strip() for name in value.split(",") if name.strip())

    @field_validator("namespace_queues", mode="before")
    @classmethod
    def _queues(cls, value: object) -> object:
        parsed = _parsed(allowance.parse_queues, value)
        return (allowance.EVERY_QUEUE,) if parsed is None else parsed

    @field_validator("namespace_max_running", "namespace_max_waiting", mode="before")
    @classmethod
    def _count(cls, value: object) -> object:
        parsed = _parsed(allowance.parse_count, value)
        return allowance.UNLIMITED if parsed is None else parsed

    @field_validator("namespace_max_ledger_bytes", mode="before")
    @classmethod
    def _bytes(cls, value: object) -> object:
        parsed = _parsed(allowance.parse_bytes, value)
        return allowance.UNLIMITED if parsed is None else parsed

    @field_validator("worker_namespace")
    @classmethod
    def _a_namespace(cls, value: str) -> str:
        if value and not _NAMESPACE.fullmatch(value):
            raise ValueError("not a namespace name. Write it as chaingraph-system")
        return value

    @model_validator(mode="after")
    def _consistent(self) -> Settings:
        if self.worker_namespace and not self.release:
            raise ValueError(
                f"CHAINGRAPH_RELEASE is empty, and CHAINGRAPH_WORKER_NAMESPACE is {self.worker_namespace!r}. Set it to "
                "the release of these workers, as in their label app.kubernetes.io/instance"
            )
        if self.lease_deadline_seconds >= self.lease_duration_seconds:
            raise ValueError(
                f"CHAINGRAPH_LEASE_RENEW_SECONDS is {self.lease_deadline_seconds:g}, which is not less than "
                f"CHAINGRAPH_LEASE_DURATION_SECONDS ({self.lease_duration_seconds}). A leader must exit before "
                "another one can take over"
            )
        if self.lease_retry_seconds * 2 > self.lease_deadline_seconds:
            raise ValueError(
                f"CHAINGRAPH_LEASE_RETRY_SECONDS is {self.lease_retry_seconds:g}, which is more than half of "
                f"CHAINGRAPH_LEASE_RENEW_SECONDS ({self.lease_deadline_seconds:g}). A leader must be able to try twice"
            )
        return self

    @property
    def namespace_defaults(self) -> NamespacePolicy:
        """Return the policy of a namespace without annotations."""
        return NamespacePolicy(
            queues=None if allowance.EVERY_QUEUE in self.namespace_queues else self.namespace_queues,
            max_running=_limit(self.namespace_max_running),
            max_waiting=_limit(self.namespace_max_waiting),
            max_priority=self.namespace_max_priority,
            max_ledger_bytes=_limit(self.namespace_max_ledger_bytes),
        )

    @property
    def ledger_retention(self) -> timedelta | None:
        """Return how long an ended execution without a resource is kept; None to keep it forever."""
        return timedelta(days=self.ledger_retention_days) if self.ledger_retention_days else None


def _parsed(parse: _Parse, value: object) -> object:
    if not isinstance(value, str):
        return value
    try:
        return parse(value.strip())
    except ValueError as error:
        raise ValueError(f"not {error}") from None


def _limit(value: int | Unlimited) -> int | None:
    return None if value == allowance.UNLIMITED else value
