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
    """Every variable that the operator reads, but for those of the Kubernetes configuration (KUBECONFIG)."""

    model_config = SettingsConfigDict(extra="ignore", populate_by_name=True)

    database_url: str = Field(
        validation_alias="DATABASE_URL_EXECUTIONS",
        description="the PostgreSQL database of ledger and DBOS, as postgresql://user:password@host:5432/database",
    )
    application_name: str = Field(
        default="chaingraph-executor",
        validation_alias="DBOS_APPLICATION_NAME",
        min_length=1,
        description="the DBOS application that the workers run under; the same word as theirs",
    )
    namespaces: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(),
        validation_alias="CHAINGRAPH_NAMESPACES",
        description="the namespaces to serve, separated by commas; empty for the whole cluster",
    )
    reconcile_workers: int = Field(
        default=8,
        ge=1,
        le=64,
        validation_alias="CHAINGRAPH_RECONCILE_WORKERS",
        description="executions that are reconciled at the same time, from 1 to 64",
    )
    status_writers: int = Field(
        default=16,
        ge=1,
        le=64,
        validation_alias="CHAINGRAPH_STATUS_WRITERS",
        description="status patches in flight at the same time, from 1 to 64",
    )
    child_resources_per_second: float = Field(
        default=50,
        gt=0,
        le=1000,
        validation_alias="CHAINGRAPH_CHILD_RESOURCES_PER_SECOND",
        description="resources that are made for children a second, at most; above 0, and not more than 1000",
    )
    resync_seconds: float = Field(
        default=600,
        ge=5,
        validation_alias="CHAINGRAPH_RESYNC_SECONDS",
        description="seconds after which every unfinished execution and every Flow is looked at again, 5 or more",
    )
    sweep_seconds: float = Field(
        default=60,
        ge=1,
        validation_alias="CHAINGRAPH_SWEEP_SECONDS",
        description="seconds between two searches for executions whose resource is gone, 1 or more",
    )
    ledger_retention_days: float = Field(
        default=30,
        ge=0,
        le=36_500,
        validation_alias="CHAINGRAPH_LEDGER_RETENTION_DAYS",
        description=(
            "days for which the ledger keeps an ended execution whose resource is gone, with its events and journal; "
            "0 or empty keeps it for ever"
        ),
    )
    adopt_cluster: str = Field(
        default="",
        validation_alias="CHAINGRAPH_ADOPT_CLUSTER",
        description=(
            "the cluster that the database belonged to, as the operator named it when it refused to serve: this "
            "cluster takes its place; of no effect afterwards"
        ),
    )

    flow_check_cpu_seconds: float = Field(
        default=2,
        ge=0.1,
        le=60,
        validation_alias="CHAINGRAPH_FLOW_CHECK_CPU_SECONDS",
        description="CPU seconds that the check of one flow may take, from 0.1 to 60; beyond, the Flow is TooComplex",
    )
    flow_check_memory_mb: int = Field(
        default=160,
        ge=96,
        le=4096,
        validation_alias="CHAINGRAPH_FLOW_CHECK_MEMORY_MB",
        description=(
            "megabytes that the check of one flow may take, from 96 to 4096; beyond, the Flow is TooComplex. Two "
            "checks may run at the same time, beside the operator"
        ),
    )
    namespace_queues: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(RUN_QUEUE,),
        validation_alias="CHAINGRAPH_NAMESPACE_QUEUES",
        description="the queues that a namespace may use whose annotation chaingraph.dev/queues says nothing, "
        "separated by commas; * for all",
    )
    namespace_max_running: Annotated[int | Unlimited, NoDecode] = Field(
        default=allowance.UNLIMITED,
        validation_alias="CHAINGRAPH_NAMESPACE_MAX_RUNNING",
        description="how many executions of a namespace run at once, over all queues, unless its annotation "
        "chaingraph.dev/max-running says so; unlimited for any number",
    )
    namespace_max_waiting: Annotated[int | Unlimited, NoDecode] = Field(
        default=20_000,
        validation_alias="CHAINGRAPH_NAMESPACE_MAX_WAITING",
        description="how many executions of a namespace wait in the ledger, unless its annotation "
        "chaingraph.dev/max-waiting says so; further ones are created later; unlimited for any number",
    )
    namespace_max_priority: int = Field(
        default=TOP_PRIORITY,
        ge=0,
        le=TOP_PRIORITY,
        validation_alias="CHAINGRAPH_NAMESPACE_MAX_PRIORITY",
        description="the highest spec.priority in a namespace, unless its annotation chaingraph.dev/max-priority says "
        "so; a priority counts within its namespace only",
    )
    namespace_max_ledger_bytes: Annotated[int | Unlimited, NoDecode] = Field(
        default=allowance.UNLIMITED,
        validation_alias="CHAINGRAPH_NAMESPACE_MAX_LEDGER_BYTES",
        description="how many bytes executions of a namespace take in the ledger, such as 10Gi, before new ones wait, "
        "unless its annotation chaingraph.dev/max-ledger-bytes says so; unlimited for any number",
    )
    namespace_seconds: float = Field(
        default=10,
        ge=0,
        le=3600,
        validation_alias="CHAINGRAPH_NAMESPACE_SECONDS",
        description="seconds after which the annotations of a Namespace are read again, from 0 to 3600; with more than "
        "50 namespaces those with nothing new to create later",
    )
    accounting_seconds: float = Field(
        default=30,
        ge=1,
        le=3600,
        validation_alias="CHAINGRAPH_ACCOUNTING_SECONDS",
        description="seconds between two measurements of what executions take in the ledger, of namespaces with a "
        "limit; from 1 to 3600",
    )

    leader_election: bool = Field(
        default=False,
        validation_alias="CHAINGRAPH_LEADER_ELECTION",
        description="true when several operators run for the same namespaces: one of them leads, by a Lease",
    )
    lease_namespace: str = Field(
        default="",
        pattern=r"^([a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?)?$",
        validation_alias="CHAINGRAPH_LEASE_NAMESPACE",
        description="the namespace of the Lease; the Pod's own when empty",
    )
    lease_name: str = Field(
        default="chaingraph-operator",
        pattern=r"^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$",
        validation_alias="CHAINGRAPH_LEASE_NAME",
        description="the name of the Lease; one for each group of operators that serve the same namespaces",
    )
    lease_duration_seconds: int = Field(
        default=15,
        ge=2,
        le=600,
        validation_alias="CHAINGRAPH_LEASE_DURATION_SECONDS",
        description="seconds for which a Lease that nobody renews holds, from 2 to 600",
    )
    lease_deadline_seconds: float = Field(
        default=10,
        gt=0,
        validation_alias="CHAINGRAPH_LEASE_RENEW_SECONDS",
        description="seconds after which a leader that cannot renew its Lease ends; less than the Lease's duration",
    )
    lease_retry_seconds: float = Field(
        default=2,
        gt=0,
        validation_alias="CHAINGRAPH_LEASE_RETRY_SECONDS",
        description="seconds between two renewals, or two looks of one who waits; less than half the former",
    )
    loop_deadline_seconds: float = Field(
        default=60,
        ge=1,
        validation_alias="CHAINGRAPH_LOOP_DEADLINE_SECONDS",
        description=(
            "seconds without a turn of its event loop after which a leader ends, 1 or more: its Lease is renewed by a "
            "thread of its own, which a busy loop does not hold up"
        ),
    )
    pod_name: str = Field(
        default_factory=socket.gethostname,
        validation_alias="CHAINGRAPH_POD_NAME",
        min_length=1,
        description="what this operator is called in Lease, ledger and Events, such as the Pod's name",
    )

    worker_namespace: str = Field(
        default="",
        validation_alias="CHAINGRAPH_WORKER_NAMESPACE",
        description="the namespace of the worker Deployments whose versions this operator sees to: the others of a "
        "pool are retired when the current one serves, and removed when nothing is left of them; empty: sees to none",
    )
    release: str = Field(
        default="",
        validation_alias="CHAINGRAPH_RELEASE",
        description="whose they are, as in their label app.kubernetes.io/instance",
    )
    metric_queues: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(),
        validation_alias="CHAINGRAPH_METRIC_QUEUES",
        description=(
            "queues, separated by commas, that have metrics of their own whether a worker serves them or not, as those "
            "of pools that are scaled to none; queues that no worker has served are added up as (other)"
        ),
    )
    worker_pools: str = Field(
        default="chaingraph-worker-pools",
        min_length=1,
        validation_alias="CHAINGRAPH_WORKER_POOLS",
        description="the name of the ConfigMap there that has the current version of each pool",
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
            raise ValueError(f"{wrong[0]!r} is no name of a namespace; write them as team-a,team-b")
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
            raise ValueError("it is no name of a namespace; write it as chaingraph-system")
        return value

    @model_validator(mode="after")
    def _consistent(self) -> Settings:
        if self.worker_namespace and not self.release:
            raise ValueError(
                f"CHAINGRAPH_RELEASE is empty, and CHAINGRAPH_WORKER_NAMESPACE is {self.worker_namespace!r}: name the "
                "release whose workers they are, as in their label app.kubernetes.io/instance"
            )
        if self.lease_deadline_seconds >= self.lease_duration_seconds:
            raise ValueError(
                f"CHAINGRAPH_LEASE_RENEW_SECONDS is {self.lease_deadline_seconds:g}, not less than "
                f"CHAINGRAPH_LEASE_DURATION_SECONDS {self.lease_duration_seconds}: a leader has to end before "
                "another one may begin"
            )
        if self.lease_retry_seconds * 2 > self.lease_deadline_seconds:
            raise ValueError(
                f"CHAINGRAPH_LEASE_RETRY_SECONDS is {self.lease_retry_seconds:g}, more than half of "
                f"CHAINGRAPH_LEASE_RENEW_SECONDS {self.lease_deadline_seconds:g}: a leader has to be able to try twice"
            )
        return self

    @property
    def namespace_defaults(self) -> NamespacePolicy:
        """What a namespace may use that says nothing."""
        return NamespacePolicy(
            queues=None if allowance.EVERY_QUEUE in self.namespace_queues else self.namespace_queues,
            max_running=_limit(self.namespace_max_running),
            max_waiting=_limit(self.namespace_max_waiting),
            max_priority=self.namespace_max_priority,
            max_ledger_bytes=_limit(self.namespace_max_ledger_bytes),
        )

    @property
    def ledger_retention(self) -> timedelta | None:
        """How long an ended execution without a resource is kept; None for ever."""
        return timedelta(days=self.ledger_retention_days) if self.ledger_retention_days else None


def _parsed(parse: _Parse, value: object) -> object:
    if not isinstance(value, str):
        return value
    try:
        return parse(value.strip())
    except ValueError as error:
        raise ValueError(f"it is not {error}") from None


def _limit(value: int | Unlimited) -> int | None:
    return None if value == allowance.UNLIMITED else value
