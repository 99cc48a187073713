"""Fixtures of the whole test suite; all are lazy, so that unit tests start no process.

control_plane         a kube-apiserver (etcd, controller manager) of the process: .kubeconfig .url .token .audit_log
kubectl               callable(*args, input=None, check=True) -> CompletedProcess, with that kubeconfig
rest                  the same objects by REST calls, for setup and for looking again and again
crds                  both kinds are served by that API server
namespace             name of a fresh namespace
local, local_cluster   `chaingraph up` in a state folder of its own
objects               a REST client of that namespace's Flows and Executions
postgres_server       a PostgreSQL server of the process: .url(database)
database_url          a fresh database with the project's schema
empty_database_url    a fresh database with nothing in it
ledger                the ledger of `database_url`, open
replicated            a primary and a stand-by of its own, for a fail-over
pool_urls             connection strings of two pools, whose roles may touch their own work alone
start_program, run_program   one of our programs, forked from a process that has imported it
run_worker, run_operator     a worker, an operator of the test's database and namespace
written               rows and events of executions, written by hand
run_gateway, people   a gateway as a process of its own; people with rights who ask it
gateway               one that is found as in a cluster
serve_gateway         its server in the test's own event loop, without PostgreSQL, with an API server that is a function
start_worker          a worker's moves in the ledger, made by hand
cluster, user         the namespace as a user sees it: beside the ledger's rows; from kubectl alone
system                a namespace that an operator and a worker serve: .namespace .kubeconfig .kubectl
start_system          the same, started when called
fleet                 an operator and two workers that are killed, and started again
plugin                `kubectl chaingraph` in the test's namespace, and executions in any state
make_proxy            a TCP proxy to a URL, that a test can cut
way                   one to the API server, and the kubeconfig that leads by it
distant_ledger        the ledger of the test's database by way of such a proxy

They lie in `tests/fixtures`, a folder a subject: this folder is on the path. How tests run: tests/README.md.
"""

import os
from typing import Final

import pytest
from hypothesis import HealthCheck, settings

pytest.register_assert_rewrite("fixtures")

# How long an example takes says how busy the machine is; timings belong into `bench/`.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")

pytest_plugins = [
    "fixtures.cluster.control_plane",
    "fixtures.cluster.local",
    "fixtures.cluster.objects",
    "fixtures.cluster.rest",
    "fixtures.cluster.user",
    "fixtures.cluster.view",
    "fixtures.ledger.database",
    "fixtures.ledger.ledger",
    "fixtures.ledger.pool_roles",
    "fixtures.ledger.standby",
    "fixtures.ledger.worker_by_hand",
    "fixtures.ledger.written_log",
    "fixtures.plugin.plugin",
    "fixtures.processes.background",
    "fixtures.processes.cut_off",
    "fixtures.processes.fleet",
    "fixtures.processes.forked",
    "fixtures.processes.gateway",
    "fixtures.processes.programs",
    "fixtures.processes.proxy",
    "fixtures.processes.served_gateway",
    "fixtures.processes.system",
]

_BUILT: Final = {"helm", "promtool_program", "evaluators_program"}
"""Fixtures of programs that the first test of a machine has to build."""
_INTEGRATION: Final = {"control_plane", "local", "local_cluster", "postgres_server", "fork_servers", *_BUILT}
"""Fixtures that start servers or programs. A test that uses one of them is marked `integration`."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    from fixtures.chart.go_programs import BUILD_SECONDS  # after the registration above

    for item in items:
        used = set(getattr(item, "fixturenames", ()))
        if used & _BUILT:
            item.add_marker(pytest.mark.timeout(BUILD_SECONDS + 300))
        if used & _INTEGRATION:
            item.add_marker("integration")
    items[:] = _long_ones_first(items, processes=int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1")))


def _long_ones_first(items: list[pytest.Item], *, processes: int) -> list[pytest.Item]:
    """Deals the tests marked `long` out to the beginnings of the processes' shares, so that none runs alone at the end.

    Each process of xdist begins with an equal share of the list, in order (`--dist=worksteal`).
    """
    long = [each for each in items if each.get_closest_marker("long")]
    short = [each for each in items if not each.get_closest_marker("long")]
    share = len(short) // processes
    ordered: list[pytest.Item] = []
    for number in range(processes):
        end = None if number == processes - 1 else (number + 1) * share
        ordered += [*long[number::processes], *short[number * share : end]]
    return ordered
