"""What is to become of the versions of the workers: cases, and random histories of releases, workers and work."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chaingraph_operator.decide.rollout import Deployment, Rollout, State, decide
from chaingraph_store.queue.pinning import Build, Builds, Load, WorkerCapacity
from fixtures import soak

OLD, NEW = Build("p", "1"), Build("p", "2")
SERVING = WorkerCapacity(2, 2, 0)


def deployment(build: Build, *, available: bool = True, going: bool = False) -> Deployment:
    return Deployment(
        name=f"w-{build}", uid=str(build), resource_version="1", build=build, available=available, going=going
    )


def decided(
    current: str | None,
    *,
    old: WorkerCapacity = SERVING,
    new: WorkerCapacity = SERVING,
    loads: dict[Build, Load] | None = None,
    available: bool = True,
    going: bool = False,
) -> Rollout:
    return decide(
        {} if current is None else {"p": current},
        [deployment(OLD, going=going), deployment(NEW, available=available)],
        Builds({OLD: old, NEW: new}, loads or {}),
    )


def removed(rollout: Rollout) -> list[Build]:
    return [each.build for each in rollout.remove]


def test_old_version_is_retired_once_its_successor_serves() -> None:
    rollout = decided("2")
    assert rollout.states == {OLD: State.RETIRED, NEW: State.CURRENT}
    assert (rollout.retire, rollout.serve, removed(rollout)) == ([OLD], [], [])


def test_old_version_is_kept_until_its_successor_serves() -> None:
    for rollout in (
        decided("2", available=False),
        decided("2", new=WorkerCapacity(0, 0, 0)),
        decided("2", new=WorkerCapacity(1, 0, 0)),
        decided("3"),
    ):
        assert rollout.states[OLD] is State.SUPERSEDED
        assert OLD not in rollout.retire
        assert OLD not in removed(rollout)


def test_retired_version_is_kept_while_the_current_one_is_away() -> None:
    rollout = decided("2", old=WorkerCapacity(2, 0, 2), available=False)
    assert rollout.states[OLD] is State.RETIRED
    assert (rollout.retire, rollout.serve, removed(rollout)) == ([], [], [])


def test_retired_version_is_removed_once_idle() -> None:
    drained = WorkerCapacity(2, 0, 2)
    assert removed(decided("2", old=drained)) == [OLD]
    assert removed(decided("2", old=WorkerCapacity(0, 0, 0))) == [OLD], "nobody is left of it"
    assert removed(decided("2", old=WorkerCapacity(2, 1, 2))) == [], "one has not heard of it yet"
    assert removed(decided("2", old=drained, loads={OLD: Load(1, 0)})) == []
    assert removed(decided("2", old=drained, loads={OLD: Load(0, 1)})) == [], "handed back, and pinned"
    assert removed(decided("2", old=drained, loads={NEW: Load(9, 9)})) == [OLD]
    assert removed(decided("2", old=drained, going=True)) == [], "it goes already"


def test_rollback_restores_the_old_version_before_retiring_new() -> None:
    rollout = decided("1", old=WorkerCapacity(2, 0, 2))
    assert rollout.states == {OLD: State.CURRENT, NEW: State.SUPERSEDED}
    assert (rollout.serve, rollout.retire, removed(rollout)) == ([OLD], [], [])
    assert decided("1", old=WorkerCapacity(2, 2, 0)).retire == [NEW]


def test_unrequested_pool_is_retired_and_removed() -> None:
    assert decided(None).retire == [OLD, NEW]
    rollout = decided(None, old=WorkerCapacity(2, 0, 2), new=WorkerCapacity(1, 0, 1), loads={NEW: Load(1, 0)})
    assert removed(rollout) == [OLD]


@dataclass
class World:
    """Deployments with workers and what they have, told by rollouts and by chance."""

    current: dict[str, str]
    deployments: dict[Build, bool] = field(default_factory=dict)
    """Whether each is available."""
    live: dict[Build, int] = field(default_factory=dict)
    told: dict[Build, bool] = field(default_factory=dict)
    """Whether its workers are to be retired, as the ledger says."""
    heard: dict[Build, bool] = field(default_factory=dict)
    loads: dict[Build, Load] = field(default_factory=dict)

    def builds(self) -> Builds:
        workers = {
            build: WorkerCapacity(
                count,
                0 if self.told.get(build) and self.heard.get(build) else count,
                count if self.told.get(build) else 0,
            )
            for build, count in self.live.items()
            if count
        }
        return Builds(workers, {build: load for build, load in self.loads.items() if load.total})

    def look(self) -> Rollout:
        found = [deployment(build, available=available) for build, available in self.deployments.items()]
        rollout = decide(self.current, found, self.builds())
        self.check(rollout)
        for build in rollout.serve:
            self.told[build] = False
            self.heard[build] = False
        for build in rollout.retire:
            self.told[build] = True
        for each in rollout.remove:
            del self.deployments[each.build]
            self.live.pop(each.build, None)
        return rollout

    def check(self, rollout: Rollout) -> None:
        """What must be so of every decision, whatever went before."""
        builds = self.builds()
        assert set(rollout.states) == set(self.deployments)
        for each in rollout.remove:
            assert self.current.get(each.build.pool) != each.build.version, "the current one is never removed"
            assert not self.loads.get(each.build, Load(0, 0)).total, "nor one that has something"
            strength = builds.workers.get(each.build)
            assert strength is None or strength.serving == 0, "nor one that may take something"
        for build in rollout.retire:
            replacement = Build(build.pool, self.current.get(build.pool, ""))
            assert build != replacement
            assert build.pool not in self.current or builds.workers[replacement].serving > 0, "somebody serves instead"
        assert not set(rollout.serve) & set(rollout.retire)

    def settle(self) -> None:
        """Workers hear what they are told, end what they have, and what is asked for comes up."""
        for pool, version in self.current.items():
            build = Build(pool, version)
            self.deployments[build] = True
            self.live[build] = self.live.get(build) or 1
        for build in self.deployments:
            self.heard[build] = self.told.get(build, False)
            self.loads[build] = Load(0, 0)


BUILDS = [Build(pool, version) for pool in ("a", "b") for version in ("1", "2", "3")]
CHANGES = st.one_of(
    st.tuples(st.just("ask"), st.sampled_from(["a", "b"]), st.sampled_from(["1", "2", "3", ""])),
    st.tuples(st.just("live"), st.sampled_from(BUILDS), st.integers(0, 3)),
    st.tuples(st.just("available"), st.sampled_from(BUILDS), st.booleans()),
    st.tuples(st.just("load"), st.sampled_from(BUILDS), st.integers(0, 2)),
    st.tuples(st.just("hear"), st.sampled_from(BUILDS), st.just(0)),
)


def after(changes: list[tuple[str, object, object]]) -> World:
    """The world after these changes, each with a look that follows it."""
    world = World({"a": "1", "b": "1"})
    world.settle()
    for what, whom, value in changes:
        match what, whom, value:
            case "ask", str(pool), "":
                world.current.pop(pool, None)
            case "ask", str(pool), str(version):
                world.current[pool] = version
                world.deployments.setdefault(Build(pool, version), False)
            case "live", Build() as build, int(count) if build in world.deployments:
                world.live[build] = count
            case "available", Build() as build, bool(available) if build in world.deployments:
                world.deployments[build] = available
            case "load", Build() as build, int(count) if world.live.get(build):
                world.loads[build] = Load(count, 0)
            case "hear", Build() as build, _:
                world.heard[build] = world.told.get(build, False)
        world.look()
    return world


@pytest.mark.soak
@settings(max_examples=soak.examples(300), deadline=None)
@given(st.lists(CHANGES, max_size=25))
def test_rollout_strands_no_work_and_leaves_only_requested_pools(
    changes: list[tuple[str, object, object]],
) -> None:
    world = after(changes)
    for _ in range(4):
        world.settle()
        world.look()
    asked = {Build(pool, version) for pool, version in world.current.items()}
    assert set(world.deployments) == asked
    assert not any(world.told.get(build) for build in asked)
    assert world.look() == Rollout(dict.fromkeys(world.deployments, State.CURRENT))
