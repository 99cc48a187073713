"""What is to become of the versions of the workers: which serve, which are retired, which are removed. Pure.

Called by `worker_deployments` with what the cluster and the ledger say. See docs/decisions/0009.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from chaingraph_store.queue.pinning import Build, Builds, Load, WorkerCapacity

_NOBODY: Final = WorkerCapacity(0, 0, 0)
_NOTHING: Final = Load(0, 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployment:
    """A Deployment of workers. `available`: as its own condition says. `going`: it is being deleted."""

    name: str
    uid: str
    resource_version: str
    build: Build
    available: bool
    going: bool = False


class State(StrEnum):
    CURRENT = "current"
    """It is the one that the release asks for."""
    SUPERSEDED = "superseded"
    """Another one is asked for, and cannot serve yet: until then it goes on as before."""
    RETIRED = "retired"
    """It only ends what it has begun."""


@dataclass(slots=True)
class Rollout:
    """What is so, and what is to be done."""

    states: dict[Build, State] = field(default_factory=dict)
    serve: list[Build] = field(default_factory=list)
    """Builds whose workers are to take new work again."""
    retire: list[Build] = field(default_factory=list)
    remove: list[Deployment] = field(default_factory=list)


def decide(current: Mapping[str, str], deployments: Sequence[Deployment], builds: Builds) -> Rollout:
    """What is to be done next.

    A version is retired when the one that takes its place can serve, or when its pool is no longer asked for. It is
    removed once its workers have said that they take nothing new, and nothing is left of what they had.

    Args:
        current: the version that is asked for, by pool.
        deployments: those of the release; other workers are left alone.
        builds: read from the ledger after the deployments were read from the cluster.
    """
    rollout = Rollout()
    for each in deployments:
        build = each.build
        workers = builds.workers.get(build, _NOBODY)
        if current.get(build.pool) == build.version:
            rollout.states[build] = State.CURRENT
            if workers.retired and build not in rollout.serve:
                rollout.serve.append(build)
            continue
        replaced = build.pool not in current or _serves(Build(build.pool, current[build.pool]), deployments, builds)
        if not replaced:
            wholly = workers.live > 0 and workers.live == workers.retired
            rollout.states[build] = State.RETIRED if wholly else State.SUPERSEDED
            continue
        rollout.states[build] = State.RETIRED
        if workers.live > workers.retired and build not in rollout.retire:
            rollout.retire.append(build)
        if not each.going and _is_drained(workers, builds.loads.get(build, _NOTHING)):
            rollout.remove.append(each)
    return rollout


def _serves(build: Build, deployments: Sequence[Deployment], builds: Builds) -> bool:
    """Whether it can take the place of another: Kubernetes says that it is available, and a worker of it serves."""
    return builds.workers.get(build, _NOBODY).serving > 0 and any(
        each.build == build and each.available and not each.going for each in deployments
    )


def _is_drained(workers: WorkerCapacity, load: Load) -> bool:
    return workers.live == workers.retired and workers.serving == 0 and load.total == 0
