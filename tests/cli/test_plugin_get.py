"""`kubectl chaingraph get` and `wait`: tables, details, other forms, and what is waited for."""

from __future__ import annotations

import json
import os
import subprocess
from datetime import UTC, datetime, timedelta
from importlib import metadata
from typing import Any

import pytest
import yaml

from chaingraph_cli import discovery
from chaingraph_cli.execution import Execution
from chaingraph_cli.executions.guards import GUARDS
from chaingraph_cli.executions.waiting import duration
from chaingraph_cli.kubectl import error_of
from chaingraph_cli.render.details import details, next_steps
from chaingraph_cli.render.listing import newest_first, rows_of
from chaingraph_cli.terminal import tables
from fixtures.cluster.rest import Rest
from fixtures.plugin.plugin import SCRIPTS, Plugin

NOW = datetime(2026, 11, 24, 3, 0, 0, tzinfo=UTC)
ITEM = {
    "metadata": {"name": "nightly", "namespace": "prod", "creationTimestamp": "2026-11-24T02:00:00Z"},
    "spec": {"flowRef": {"name": "etl"}},
    "status": {
        "phase": "Running",
        "executionID": "EX1",
        "attempt": 2,
        "nodes": {"total": 9, "completed": 2, "failed": 1, "skipped": 1, "running": 4},
        "currentNodes": ["a", "b", "c", "d"],
        "startTime": "2026-11-24T02:58:30Z",
        "worker": "worker-1",
    },
}


def test_table_shows_progress_age_and_worker() -> None:
    new = Execution({"metadata": {"name": "new", "creationTimestamp": "2026-11-24T02:59:55Z"}})
    assert rows_of([Execution(ITEM), new], now=NOW).splitlines() == [
        "NAME      PHASE     FLOW     DONE     CURRENT    AGE    DURATION   MESSAGE",
        "nightly   Running   etl      4/9      a,b,c,+1   60m    90s        <none>",
        "new       Pending   <none>   <none>   <none>     5.0s   <none>     <none>",
    ]
    wide = rows_of([Execution(ITEM)], wide=True, namespaces=True, headers=False, now=NOW)
    assert wide == (
        "prod   nightly   Running   etl   4/9   a,b,c,+1   60m   90s   worker-1   2   <none>   <none>   EX1   <none>"
    )


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (-3, "0.0s"),
        (0.04, "0.0s"),
        (9.94, "9.9s"),
        (119, "119s"),
        (120, "2m"),
        (321, "5m21s"),
        (3599, "59m"),
        (10800, "3h"),
        (12300, "3h25m"),
        (100000, "27h"),
        (180000, "2d2h"),
        (864000, "10d"),
    ],
)
def test_span_formats_durations(seconds: float, shown: str) -> None:
    assert tables.span(timedelta(seconds=seconds)) == shown


@pytest.mark.parametrize(("text", "seconds"), [("30s", 30), ("1h30m", 5400), ("5", 5), ("0", 0), ("250ms", 0.25)])
def test_duration_parses_common_notations(text: str, seconds: float) -> None:
    assert duration(text) == seconds


@pytest.mark.parametrize("phase", ["Created", "Running", "Paused", "Completed", "Failed", "Stopped"])
def test_the_next_steps_are_allowed(phase: str) -> None:
    execution = Execution(
        {
            "metadata": {"name": "one"},
            "spec": {"paused": phase == "Created"},
            "status": {"phase": phase, "executionID": "EX1"},
        }
    )
    for (verb, *_), _ in next_steps(execution):
        assert verb not in GUARDS or GUARDS[verb](execution) is None


def test_unstarted_execution_suggests_no_logs() -> None:
    refused = Execution({"metadata": {"name": "one"}, "spec": {}, "status": {"phase": "Failed"}})
    assert [words for words, _ in next_steps(refused)] == [("retry", "one")]


@pytest.mark.parametrize(
    ("status", "line"),
    [
        ({"phase": "Running", "currentNodes": ["a"]}, "Running 'a'"),
        ({"phase": "Paused", "currentNodes": ["a"]}, "Paused before 'a'"),
        ({"phase": "Paused"}, "Paused"),
        ({"phase": "Paused", "currentNodes": ["a"], "nodes": {"running": 1}}, "Paused, pausing: 1 still running, at"),
        ({"phase": "Pending", "executionID": "EX1"}, "Pending, waiting for a worker"),
        ({"phase": "Failed", "error": {"message": "broke"}}, "Failed\n"),
    ],
)
def test_phase_line_repeats_no_word(status: dict[str, Any], line: str) -> None:
    shown = details(Execution({"metadata": {"name": "one"}, "status": status}), typed=lambda *words: " ".join(words))
    assert f"Phase:        {line}" in shown


@pytest.mark.integration
@pytest.mark.parametrize("levels", [1_100, 9_900])
def test_get_lists_objects_of_any_depth(plugin: Plugin, rest: Rest, levels: int) -> None:
    value = '{"a":' * levels + "1" + "}" * levels
    deep = (
        '{"apiVersion":"chaingraph.dev/v1alpha1","kind":"Execution","metadata":{"name":"deep"},'
        f'"spec":{{"flow":{{"nodes":[{{"id":"a","type":"Object","inputs":{{"value":{value}}}}}]}}}}}}'
    )
    rest.create_text(plugin.namespace, "Execution", deep)
    plugin.create("two", status={"phase": "Completed"})
    rows = [line.split()[0] for line in plugin("get", "--no-headers").stdout.splitlines()]
    assert sorted(rows) == ["deep", "two"]
    assert plugin("get", "deep").returncode == 0
    assert plugin("get", "deep", "-o", "yaml").returncode == 0
    watch = plugin.start("get", "deep", "-w", "-o", "json")
    assert watch.stderr is not None
    try:
        assert watch.wait(60) == 1
        told = watch.stderr.read()
    finally:
        watch.kill()
        watch.communicate()
    assert "Traceback" not in told
    assert "cannot print an object that is nested this deeply" in told
    assert "kubectl get executions.chaingraph.dev NAME -o yaml" in told


def test_get_shows_one_in_full_and_all_in_a_table(plugin: Plugin) -> None:
    condition = {"type": "Succeeded", "status": "False", "reason": "NodeFailed", "message": "node 'load': disk full"}
    plugin.create(
        "one",
        status={
            "phase": "Failed",
            "attempt": 2,
            "nodes": {"total": 3, "completed": 2, "failed": 1},
            "error": {"node": "load", "message": "disk full", "reason": "NodeFailed"},
            "attempts": [{"attempt": 1, "phase": "Failed", "node": "extract", "message": "no route"}],
            "conditions": [condition | {"lastTransitionTime": "2026-11-24T02:00:00Z"}],
        },
    )
    plugin.create("two", status={"phase": "Completed", "outputs": {"total": 3, "text": "a\nb"}})
    shown = plugin("get", "one").stdout
    assert "Nodes:        3 of 3 done: 2 completed, 1 failed, 0 skipped, 0 running\n" in shown
    assert "Error:        node 'load': disk full (NodeFailed)\n" in shown
    assert "1         Failed   extract   <none>   no route" in shown
    assert f"kubectl chaingraph retry one -n {plugin.namespace}" in shown
    assert "Outputs:\n  text:\n    a\n    b\n  total: 3\n" in plugin("get", "two").stdout
    rows = [line.split() for line in plugin("get").stdout.splitlines()]
    assert rows[0] == ["NAME", "PHASE", "FLOW", "DONE", "CURRENT", "AGE", "DURATION", "MESSAGE"]
    assert {tuple(row[:4]) for row in rows[1:]} == {
        ("one", "Failed", "<none>", "3/3"),
        ("two", "Completed", "<none>", "<none>"),
    }
    assert plugin("get", "--phase", "completed", "--no-headers").stdout.split()[0] == "two"
    assert f"{plugin.namespace}   two " in plugin("get", "-A").stdout
    assert plugin("get", "two", "-o", "table").stdout.startswith("NAME")


def test_the_newest_come_first() -> None:
    def made(name: str, second: int) -> Execution:
        stamp = f"2026-11-24T02:00:0{second}Z"
        return Execution({"metadata": {"name": name, "namespace": "x", "creationTimestamp": stamp}})

    found = newest_first([made("c", 1), made("b", 1), made("a", 0), made("d", 5)])
    assert [each.name for each in found] == ["d", "b", "c", "a"]


@pytest.mark.integration
def test_get_lists_roots_and_chooses_by_flow_and_age(plugin: Plugin) -> None:
    plugin.create("root", flowRef={"name": "etl"})
    plugin.create("other")
    spawned = {
        "executionID": "EX" + "A" * 24,
        "parentExecutionID": "EX" + "B" * 24,
        "parentName": "root",
        "position": 0,
    }
    plugin.create(
        "child", labels={"chaingraph.dev/parent-id": "EX" + "B" * 24}, spawnedBy=spawned, flowRef={"name": "etl"}
    )

    def listed(*arguments: str) -> set[str]:
        done = plugin("get", "-o", "name", *arguments)
        assert done.returncode == 0, done.stderr
        return {each.rpartition("/")[2] for each in done.stdout.split()}

    assert listed() == {"root", "other"}
    assert listed("--all") == {"root", "other", "child"}
    assert listed("--flow", "etl") == {"root"}
    assert listed("--flow", "etl", "--all", "--since", "1h") == {"root", "child"}
    assert listed("--since", "0.001s") == set()
    assert plugin("get", "--flow", "none").stdout == (
        "No executions found in this namespace. Use --all to list children too.\n"
    )
    for form, load in (("json", json.loads), ("yaml", yaml.safe_load)):
        found = load(plugin("get", "--flow", "etl", "-o", form).stdout)
        assert [each["metadata"]["name"] for each in found["items"]] == ["root"]
    assert plugin("get", "root", "--all").returncode == 2


@pytest.mark.integration
def test_get_watch_prints_a_row_for_each_change(plugin: Plugin) -> None:
    plugin.create("one", status={"phase": "Running"})
    program = [str(SCRIPTS / "kubectl-chaingraph"), "get", "--watch", "-n", plugin.namespace]
    with subprocess.Popen(program, stdout=subprocess.PIPE, env=plugin.environment, text=True) as watching:
        assert watching.stdout is not None
        try:
            assert watching.stdout.readline().split()[:2] == ["NAME", "PHASE"]
            assert watching.stdout.readline().split()[:2] == ["one", "Running"]
            plugin.show("one", phase="Completed")
            assert watching.stdout.readline().split()[:2] == ["one", "Completed"]
            plugin.create("two")
            assert watching.stdout.readline().split()[:2] == ["two", "Pending"]
            plugin.kubectl("delete", "cgx", "one")
            assert watching.stdout.readline().split()[:2] == ["one", "(gone)"]
        finally:
            watching.kill()


@pytest.mark.integration
def test_version_tells_client_and_cluster(plugin: Plugin) -> None:
    client = metadata.version("chaingraph")
    manifest = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": discovery.NAME}}
    plugin.run("kubectl", "-n", discovery.NAMESPACE, "delete", "configmap", discovery.NAME, "--ignore-not-found")
    assert plugin("--version").stdout == f"client: {client}\n"
    told = json.dumps(manifest | {"data": {discovery.VERSION: "9.8.7"}})
    plugin.run("kubectl", "-n", discovery.NAMESPACE, "apply", "-f", "-", input=told)
    try:
        assert plugin("version").stdout == f"client: {client}\ncluster: 9.8.7\n"
        assert json.loads(plugin("version", "-o", "json").stdout) == {"client": client, "cluster": "9.8.7"}
    finally:
        plugin.run("kubectl", "-n", discovery.NAMESPACE, "delete", "configmap", discovery.NAME)
    away = plugin.run("chaingraph", "--version", environment={"KUBECONFIG": os.devnull})
    assert (away.returncode, away.stdout, away.stderr) == (0, f"client: {client}\n", "")


@pytest.mark.integration
def test_output_formats_are_those_of_kubectl(plugin: Plugin) -> None:
    plugin.create("one")
    assert json.loads(plugin("get", "-o", "json").stdout)["items"][0]["metadata"]["name"] == "one"
    assert yaml.safe_load(plugin("get", "one", "-o", "yaml").stdout)["metadata"]["name"] == "one"
    assert plugin("get", "-o", "name").stdout == "execution.chaingraph.dev/one\n"
    done = plugin("get", "oen")
    assert (done.returncode, done.stdout) == (4, "")
    assert "Did you mean 'one'?" in done.stderr


@pytest.mark.integration
def test_closed_output_pipe_is_no_error(plugin: Plugin) -> None:
    plugin.create("one")
    reads, writes = os.pipe()
    os.close(reads)
    program = [str(SCRIPTS / "kubectl-chaingraph"), "get", "-o", "json", "-n", plugin.namespace]
    done = subprocess.run(program, stdout=writes, stderr=subprocess.PIPE, env=plugin.environment, timeout=60)
    os.close(writes)
    assert (done.returncode, done.stderr) == (141, b"")


@pytest.mark.integration
def test_wait_reports_the_outcome_of_each_execution(plugin: Plugin) -> None:
    plugin.create("one", labels={"batch": "7"}, status={"phase": "Running"})
    plugin.create("two", labels={"batch": "7"}, status={"phase": "Completed"})

    def end() -> None:
        plugin.show("one", phase="Paused", currentNodes=["load"])
        plugin.show("one", phase="Stopped", currentNodes=[])

    ending = plugin.meanwhile(end)
    done = plugin("wait", "-l", "batch=7", "--for", "completed", "--timeout", "60s")
    ending.join()
    # In the order in which they came to it, which may be before the command has read them first.
    assert sorted(done.stdout.splitlines()) == [
        "execution.chaingraph.dev/one will not be completed: stopped",
        "execution.chaingraph.dev/two completed",
    ]
    assert done.returncode == 1
    # The one that completed comes last now, and does not hide the other one.
    assert plugin("wait", "one", "two", "--for", "completed").returncode == 1


@pytest.mark.integration
def test_verb_wait_ends_once_the_operator_has_acted(plugin: Plugin) -> None:
    plugin.create("one", status={"phase": "Running", "currentNodes": ["extract"], "nodes": {"total": 3, "running": 1}})

    def operator() -> None:
        plugin.kubectl("wait", "--for=jsonpath={.spec.paused}=true", "cgx/one", "--timeout=30s")
        # It has seen it; the node in flight has not ended.
        plugin.show("one", phase="Paused", currentNodes=["extract"], nodes={"total": 3, "running": 1})
        plugin.show("one", currentNodes=["transform"], nodes={"total": 3, "running": 0, "completed": 1})

    working = plugin.meanwhile(operator)
    done = plugin("pause", "one", "--wait")
    working.join()
    assert done.stdout.splitlines()[-1] == "execution.chaingraph.dev/one paused before 'transform'"
    assert done.returncode == 0


@pytest.mark.integration
def test_refused_retry_is_reported_by_its_wait(plugin: Plugin) -> None:
    plugin.create("one", status={"phase": "Failed"})

    def operator() -> None:
        plugin.kubectl("wait", "--for=jsonpath={.spec.retry.from}=Failed", "cgx/one", "--timeout=30s")
        refused = {"type": "RetryRefused", "status": "True", "reason": "Gone", "message": "its row is gone"}
        plugin.show("one", conditions=[refused | {"lastTransitionTime": "2026-11-24T02:00:00Z"}])

    working = plugin.meanwhile(operator)
    done = plugin("retry", "one", "--wait")
    working.join()
    assert done.stdout.splitlines()[-1] == "execution.chaingraph.dev/one not retried: its row is gone"
    assert done.returncode == 3


def test_api_server_without_phase_selection_is_explained() -> None:
    error = error_of(
        'Error from server (BadRequest): Unable to find "chaingraph.dev/v1alpha1, Resource=executions" that match '
        'label selector "", field selector "status.phase=Running": field label not supported: status.phase\n'
    )
    assert error.message == "This API server does not support field selectors for Executions."
    assert "Kubernetes 1.31" in error.hint
