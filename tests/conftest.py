"""Fixtures of the whole test suite; all are lazy, so that unit tests start no process.

control_plane         a kube-apiserver (etcd, controller manager) for the session: .kubeconfig .url .token .audit_log
kubectl               callable(*args, input=None, check=True) -> CompletedProcess, with that kubeconfig
namespace             name of a fresh namespace
postgres_server       a PostgreSQL server for the session: .url(database)
database_url          a fresh database with the project's schema
empty_database_url    a fresh database with nothing in it
run_worker, run_operator   a worker, an operator as processes of their own
system                a namespace that an operator and a worker serve: .namespace .kubeconfig .kubectl
start_system          the same, started when called
make_proxy            a TCP proxy that a test can cut
"""

pytest_plugins = [
    "fixtures.background",
    "fixtures.cluster",
    "fixtures.database",
    "fixtures.processes",
    "fixtures.proxy",
    "fixtures.system",
]
