"""The operator's settings, from environment variables. Read once by `main`."""

from __future__ import annotations

import re
import socket
from datetime import timedelta
from typing import Annotated

from pydantic import Field, field_validator, model_validator
from pydantic_settings import NoDecode, SettingsConfigDict

from chaingraph_process.environment import ServingSettings
from chaingraph_store.errors import SettingsRefused
from chaingraph_store.ledger import checked_dsn

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
    def ledger_retention(self) -> timedelta | None:
        """How long an ended execution without a resource is kept; None for ever."""
        return timedelta(days=self.ledger_retention_days) if self.ledger_retention_days else None
