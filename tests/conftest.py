"""Fixtures of the whole test suite; all are lazy, so that unit tests start no process.

control_plane         a kube-apiserver (etcd, controller manager) for the session: .kubeconfig .url .token .audit_log
kubectl               callable(*args, input=None, check=True) -> CompletedProcess, with that kubeconfig
crds                  both kinds, served by that API server
namespace             name of a fresh namespace
objects               a REST client of that namespace's Flows and Executions
postgres_server       a PostgreSQL server for the session: .url(database)
database_url          a fresh database with the project's schema
empty_database_url    a fresh database with nothing in it
ledger                the ledger of `database_url`, open
run_worker, run_operator   a worker, an operator as processes of their own
written               rows and events of executions, written by hand
run_gateway, people   a gateway as a process of its own; people with rights who ask it
gateway               one that is found as in a cluster
start_worker          a worker's moves in the ledger, made by hand
cluster, user         the namespace as a user sees it: beside the ledger's rows; from kubectl alone
system                a namespace that an operator and a worker serve: .namespace .kubeconfig .kubectl
start_system          the same, started when called
fleet                 an operator and two workers that are killed, and started again
plugin                `kubectl chaingraph` in the test's namespace, and executions in any state
make_proxy            a TCP proxy to a URL, that a test can cut
way                   one to the API server, and the kubeconfig that leads by it
distant_ledger        the ledger of the test's database by way of such a proxy

What tests share is in `tests/fixtures`, one module a topic, imported as `fixtures.topic`: this folder is on the path.
"""

import pytest

pytest.register_assert_rewrite("fixtures")

pytest_plugins = [
    "fixtures.processes.background",
    "fixtures.cluster.control_plane",
    "fixtures.cluster.view",
    "fixtures.cluster.objects",
    "fixtures.cluster.rest",
    "fixtures.processes.cut_off",
    "fixtures.ledger.database",
    "fixtures.processes.fleet",
    "fixtures.processes.forked",
    "fixtures.processes.gateway",
    "fixtures.ledger.ledger",
    "fixtures.plugin.plugin",
    "fixtures.processes.programs",
    "fixtures.processes.proxy",
    "fixtures.processes.system",
    "fixtures.cluster.user",
    "fixtures.ledger.worker_by_hand",
    "fixtures.ledger.written_log",
]

_BUILT = {"helm", "promtool_program", "evaluators_program"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The first test that needs one of these programs may have to build it."""
    from fixtures.chart.go_programs import BUILD_SECONDS

    for item in items:
        if _BUILT & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.timeout(BUILD_SECONDS + 300))
