"""The worker's environment variables.

Variables of the reference system keep their names: DATABASE_URL_EXECUTIONS, DBOS_APPLICATION_NAME,
DBOS_QUEUE_CONCURRENCY, DBOS_WORKER_CONCURRENCY. Its ENABLE_DBOS_EXECUTION, DBOS_ADMIN_* and DBOS_CONDUCTOR_* have no
meaning: there is no other mode, and DBOS 3 has no admin server.
"""

from __future__ import annotations

import re
import socket
import uuid
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Annotated

from pydantic import Field, model_validator
from pydantic_settings import NoDecode, SettingsConfigDict

from chaingraph_crds.forms import RESOURCE_NAME
from chaingraph_crds.names import reserved_queue
from chaingraph_store.queue.dispatch import RUN_QUEUE
from chaingraph_store.queue.pinning import Build
from chaingraph_worker.flow_settings import FlowSettings
from chaingraph_worker.supervision.killed import Bounds
from chaingraph_worker.supervision.pool import PoolSettings

Queues = Annotated[str, NoDecode]


class WorkerSettings(FlowSettings):
    """Each field is the variable of its alias. Durations are in seconds."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore")

    database_url: str = Field(
        validation_alias="DATABASE_URL_EXECUTIONS",
        description="PostgreSQL database of ledger and DBOS, as postgresql://user:password@host:5432/name.",
    )
    application_name: str = Field(
        "chaingraph-executor",
        validation_alias="DBOS_APPLICATION_NAME",
        pattern=r"^[a-z0-9-]{3,30}$",
        description="DBOS application name. Workers and operator of one installation must use the same.",
    )
    application_version: str = Field(
        default_factory=lambda: version("chaingraph"),
        validation_alias="CHAINGRAPH_WORKER_VERSION",
        max_length=63,
        pattern=r"^[A-Za-z0-9]([-A-Za-z0-9_.+]*[A-Za-z0-9])?$",
        description="Version of this worker's code and nodes. Running executions stay on the worker version that "
        "started them, while one of its workers lives.",
    )
    pool: str = Field(
        "default",
        max_length=40,
        pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$",
        validation_alias="CHAINGRAPH_POOL",
        description="Pool of this worker. All workers with the same pool and version must be alike.",
    )
    worker_name: str = Field(
        default_factory=socket.gethostname,
        validation_alias="CHAINGRAPH_EXECUTOR_ID",
        min_length=1,
        max_length=100,
        description="Name of this worker, such as the Pod's UID. Every start of the process appends a random part, "
        "because two workers with one id would steal each other's work.",
    )
    pod_name: str = Field("", validation_alias="CHAINGRAPH_POD_NAME", description="Name of the Pod, if there is one.")
    queues: str = Field(
        RUN_QUEUE,
        validation_alias="CHAINGRAPH_QUEUES",
        description="Queues to take executions from, separated by commas.",
    )
    queue_concurrency: int = Field(
        100,
        ge=1,
        validation_alias="DBOS_QUEUE_CONCURRENCY",
        description="Maximum running executions of a queue over all workers. The last worker to start sets it for all.",
    )
    worker_concurrency: int = Field(
        5,
        ge=1,
        validation_alias="DBOS_WORKER_CONCURRENCY",
        description="Maximum running executions of a queue in one worker. DBOS stores it with the queue: the last "
        "worker to start sets it for all workers of the queue.",
    )
    guest_slots: int = Field(
        3,
        ge=0,
        le=1000,
        validation_alias="CHAINGRAPH_GUEST_SLOTS",
        description="Number of executions of a queue that one worker runs beyond DBOS_WORKER_CONCURRENCY and "
        "DBOS_QUEUE_CONCURRENCY, each of a namespace with nothing else running in the queue, so that no namespace "
        "waits for the long executions of others. Must be the same for all workers of a queue.",
    )
    queue_poll_seconds: float = Field(
        0.05, gt=0, le=60, validation_alias="CHAINGRAPH_QUEUE_POLL_SECONDS", description="Polling interval of a queue."
    )
    pin_queue_poll_seconds: float = Field(
        0.25,
        gt=0,
        le=60,
        validation_alias="CHAINGRAPH_PIN_QUEUE_POLL_SECONDS",
        description="Polling interval of the queue of this worker's own version, which has handed-back executions "
        "while there are other versions.",
    )
    lease_seconds: float = Field(
        6.0,
        ge=1,
        le=600,
        validation_alias="CHAINGRAPH_LEASE_SECONDS",
        description="Lease duration. A worker that has not renewed its lease for this long is considered dead, and "
        "another one takes its work. By then it has exited itself.",
    )
    recovery_seconds: float = Field(
        0.5,
        ge=0.1,
        le=60,
        validation_alias="CHAINGRAPH_RECOVERY_SECONDS",
        description="Interval between two searches for workers with an expired lease, to hand back their work. Every "
        "worker searches.",
    )
    stall_seconds: float = Field(
        15.0,
        ge=2,
        le=3600,
        validation_alias="CHAINGRAPH_STALL_SECONDS",
        description="How long the worker's event loop may be blocked before the process exits with code 70, so that "
        "another worker takes its work.",
    )
    flush_seconds: float = Field(
        0.005,
        ge=0,
        le=1,
        validation_alias="CHAINGRAPH_FLUSH_SECONDS",
        description="How long a running execution collects events before it writes them.",
    )
    park_seconds: float = Field(
        5.0,
        ge=0,
        le=3600,
        validation_alias="CHAINGRAPH_PARK_SECONDS",
        description="How long a paused execution keeps its slot in this worker. After that, any worker continues it "
        "once it is resumed or stepped. An execution that waits for longer than this gives up its slot immediately, "
        "and any worker continues it after the wait.",
    )
    max_depth: int = Field(
        100,
        ge=0,
        le=1000,
        validation_alias="CHAINGRAPH_MAX_DEPTH",
        description="Maximum number of generations in a tree of executions below its root. 0 allows no children.",
    )
    max_children: int = Field(
        10_000,
        ge=0,
        le=100_000,
        validation_alias="CHAINGRAPH_MAX_CHILDREN",
        description="Maximum number of children of one execution.",
    )
    max_tree: int = Field(
        100_000,
        ge=1,
        validation_alias="CHAINGRAPH_MAX_TREE",
        description="Maximum number of executions in a tree, including its root.",
    )
    child_spacing_ms: int = Field(
        100,
        ge=0,
        le=60_000,
        validation_alias="CHAINGRAPH_CHILD_SPACING_MS",
        description="Distance between the children of a tree in the queue, in milliseconds. Other executions can be "
        "placed between them.",
    )
    drain_seconds: float = Field(
        20.0,
        ge=0,
        le=3600,
        validation_alias="CHAINGRAPH_DRAIN_SECONDS",
        description="How long running executions may continue after SIGTERM before they are handed back.",
    )
    runner_memory_mb: int = Field(
        256,
        ge=32,
        le=1_048_576,
        validation_alias="CHAINGRAPH_RUNNER_MEMORY_MB",
        description="Memory limit of a runner, the process of one execution at a time, in MB beyond the memory that "
        "all runners share. A node that exceeds it fails with NodeKilled.",
    )
    runner_cpu_seconds: int = Field(
        3600,
        ge=1,
        validation_alias="CHAINGRAPH_RUNNER_CPU_SECONDS",
        description="Maximum processor time of one run of an execution, in seconds. The running node then fails with "
        "NodeKilled",
    )
    runner_silence_seconds: float = Field(
        5.0,
        ge=0.5,
        le=3600,
        validation_alias="CHAINGRAPH_RUNNER_SILENCE_SECONDS",
        description="How long a node may block its runner's event loop. After that, the runner is killed, and the node "
        "fails with NodeKilled.",
    )
    runners_idle: int = Field(
        8,
        ge=0,
        le=1000,
        validation_alias="CHAINGRAPH_RUNNERS_IDLE",
        description="Maximum number of idle runners to keep.",
    )
    serve_without_broken_nodes: bool = Field(
        False,
        validation_alias="CHAINGRAPH_SERVE_WITHOUT_BROKEN_NODES",
        description="Whether to run without packages whose nodes cannot be loaded, and report them at `/readyz`. By "
        "default the worker exits with code 2, so that the rollout of a broken image stops while earlier workers run.",
    )
    secret_namespaces: str = Field(
        "",
        validation_alias="CHAINGRAPH_SECRET_NAMESPACES",
        description="Namespaces whose Secrets flows may use, separated by commas; `*` for all. A flow uses those of "
        "its execution's namespace with the label `chaingraph.dev/allow` of value `true`. The worker needs the right "
        "to get Secrets there, and access to the API server: a service account or `KUBECONFIG`. Empty: it reads none.",
    )
    secrets_folder: str = Field(
        "",
        validation_alias="CHAINGRAPH_SECRETS_FOLDER",
        description="Folder of mounted secrets, each in a file NAMESPACE/NAME. Flows use the files of the namespace of "
        "their execution, as `{secretFileRef: {name: NAME}}`.",
    )
    threads: int = Field(
        16, ge=2, le=256, validation_alias="CHAINGRAPH_THREADS", description="Maximum number of threads for DBOS."
    )

    @cached_property
    def executor_id(self) -> str:
        """The unique id of this process: a container that restarts in its Pod is another executor."""
        return f"{self.worker_name}-{uuid.uuid4().hex[:8]}"

    @property
    def runners(self) -> PoolSettings:
        return PoolSettings(
            bounds=Bounds(self.runner_memory_mb, self.runner_cpu_seconds, self.runner_silence_seconds),
            lease_seconds=self.lease_seconds,
            log_level=self.log_level,
            idle=self.runners_idle,
            largest_message=self.runner_memory_mb * 1024 * 1024,
            serve_without_broken_nodes=self.serve_without_broken_nodes,
        )

    @property
    def build(self) -> Build:
        return Build(self.pool, self.application_version)

    @property
    def namespaces_with_secrets(self) -> frozenset[str]:
        return frozenset(name for each in self.secret_namespaces.split(",") if (name := each.strip()))

    @property
    def queue_names(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(name.strip() for name in self.queues.split(",") if name.strip()))

    @model_validator(mode="after")
    def _consistent(self) -> WorkerSettings:
        if self.worker_concurrency > self.queue_concurrency:
            raise ValueError(
                f"DBOS_WORKER_CONCURRENCY is {self.worker_concurrency}, which is above DBOS_QUEUE_CONCURRENCY "
                f"({self.queue_concurrency}). One worker cannot run more executions than all workers together"
            )
        if not self.queue_names:
            raise ValueError(f"CHAINGRAPH_QUEUES is {self.queues!r}. Name at least one queue, such as {RUN_QUEUE}")
        for name in self.namespaces_with_secrets:
            if name != "*" and not re.fullmatch(RESOURCE_NAME, name):
                raise ValueError(f"CHAINGRAPH_SECRET_NAMESPACES: {name!r} is not the name of a namespace, and not *")
        if self.secrets_folder and not Path(self.secrets_folder).is_dir():
            raise ValueError(f"CHAINGRAPH_SECRETS_FOLDER is {self.secrets_folder!r}, which is not a folder here")
        if "@" in self.queues:
            raise ValueError(
                f"CHAINGRAPH_QUEUES is {self.queues!r}. Name queues without '@', such as {RUN_QUEUE}; a worker always "
                "takes from the queue of its own version"
            )
        reserved = [name for name in self.queue_names if reserved_queue(name)]
        if reserved:
            raise ValueError(
                f"CHAINGRAPH_QUEUES is {self.queues!r}, but {reserved[0]} is reserved, and every worker takes from it. "
                f"Name the queues of your pools, such as {RUN_QUEUE}"
            )
        return self
