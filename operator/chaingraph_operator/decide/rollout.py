"""Decide which worker versions serve, are retired, or are removed. Pure.

See docs/decisions/0009.
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
    """A Deployment of workers. `available` is its own condition; `going` means that it is being deleted."""

    name: str
    uid: str
    resource_version: str
    build: Build
    available: bool
    going: bool = False


class State(StrEnum):
    CURRENT = "current"
    """The version that the release specifies."""
    SUPERSEDED = "superseded"
    """Another version is specified but cannot serve yet. Until then this one continues to serve."""
    RETIRED = "retired"
    """Only finishes the executions that it started."""


@dataclass(slots=True)
class Rollout:
    """The versions' states, and the actions to take."""

    states: dict[Build, State] = field(default_factory=dict)
    serve: list[Build] = field(default_factory=list)
    """Builds whose workers take new executions again."""
    retire: list[Build] = field(default_factory=list)
    remove: list[Deployment] = field(default_factory=list)


def decide(current: Mapping[str, str], deployments: Sequence[Deployment], builds: Builds) -> Rollout:
    """Decide the next actions.

    A version is retired once its successor can serve, or when its pool is no longer part of the release. It is removed
    once its workers have confirmed that they take no new executions, and none of theirs is left.

    Args:
        current: the specified version of each pool.
        deployments: those of the release. Other workers are ignored.
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
    """Whether it can replace another version: Kubernetes reports it available, and one of its workers serves."""
    return builds.workers.get(build, _NOBODY).serving > 0 and any(
        each.build == build and each.available and not each.going for each in deployments
    )


def _is_drained(workers: WorkerCapacity, load: Load) -> bool:
    return workers.live == workers.retired and workers.serving == 0 and load.total == 0
