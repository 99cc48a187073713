"""The verbs that edit specs, with real kubectl on a real API server: what they change, refuse and say."""

from __future__ import annotations

import json
import re

import pytest
import yaml

from chaingraph_cli.executions.tokens import new_token
from chaingraph_crds.execution import ExecutionSpec
from fixtures.cluster.control_plane import Kubectl
from fixtures.plugin.plugin import Plugin

pytestmark = pytest.mark.integration

RUNNING = {"phase": "Running"}
PAUSED = {"phase": "Paused", "currentNodes": ["transform"]}
FAILED = {"phase": "Failed", "error": {"node": "load", "message": "no space left"}}


def test_pause_sets_one_field_and_its_author_is_on_record(plugin: Plugin) -> None:
    plugin.create("one", status=RUNNING)
    before = plugin.spec("one")
    done = plugin("pause", "one")
    assert (done.returncode, done.stdout, done.stderr) == (0, "execution.chaingraph.dev/one pause requested\n", "")
    assert plugin.spec("one") == before | {"paused": True}
    fields = json.loads(plugin.kubectl("get", "cgx", "one", "-o", "json", "--show-managed-fields").stdout)
    ours = [each for each in fields["metadata"]["managedFields"] if each["manager"] == "chaingraph-cli"]
    assert [each["fieldsV1"] for each in ours] == [{"f:spec": {"f:paused": {}}}]


def test_verbs_work_through_chaingraph_and_kubectl(plugin: Plugin) -> None:
    plugin.create("one", status=RUNNING)
    assert plugin("pause", "one", program="chaingraph").returncode == 0
    plugin.show("one", **PAUSED)
    done = plugin.run("kubectl", "chaingraph", "resume", "execution/one", "-n", plugin.namespace)
    assert done.returncode == 0, done.stderr
    assert plugin.spec("one")["paused"] is False


def test_start_resume_and_step_set_the_api_fields(plugin: Plugin) -> None:
    plugin.create("held", paused=True, status={"phase": "Created"})
    plugin.create("paused", paused=True, status=PAUSED)
    plugin.create("at-breakpoint", status=PAUSED)
    assert plugin("start", "held").returncode == 0
    assert plugin.spec("held")["paused"] is False
    assert plugin("step", "paused").returncode == 0
    first = plugin.spec("paused")["step"]
    assert plugin("step", "paused").returncode == 0
    assert plugin.spec("paused")["step"] != first
    assert plugin("resume", "paused", "at-breakpoint").returncode == 0
    assert plugin.spec("paused")["paused"] is False
    assert plugin.spec("paused")["resume"] == plugin.spec("at-breakpoint")["resume"]


def test_stop_sets_its_reason_and_retry_clears_both(plugin: Plugin) -> None:
    plugin.create("one", paused=True, status=PAUSED)
    assert plugin("stop", "one", "--reason", "wrong input").returncode == 0
    spec = plugin.spec("one")
    assert (spec["stop"], spec["stopReason"]) == (True, "wrong input")
    plugin.show("one", phase="Stopped")
    done = plugin("retry", "one", "--from", "start")
    assert done.returncode == 0, done.stderr
    spec = plugin.spec("one")
    assert spec["retry"]["from"] == "Start"
    assert (spec["stop"], spec["paused"], "stopReason" in spec) == (False, True, False), "it was paused and stays so"
    for flag, paused in (("--no-paused", False), ("--paused", True)):
        plugin.show("one", phase="Failed")
        assert plugin("retry", "one", flag).returncode == 0
        assert plugin.spec("one")["paused"] is paused


def test_retry_sets_node_and_revision_and_waits(plugin: Plugin) -> None:
    plugin.create("one", status={"phase": "Failed"}, flowRef={"name": "nightly"})
    flags = ("--node", "load", "--latest", "--timeout", "1s")
    assert plugin("retry", "one", *flags).returncode == 124, "no operator runs that could say what is kept"
    retry = plugin.spec("one")["retry"]
    assert (retry["from"], retry["node"], retry["flowRevision"]) == ("Failed", "load", "Latest")
    plugin.show("one", phase="Failed")
    assert plugin("retry", "one").returncode == 0
    retry = plugin.spec("one")["retry"]
    assert ("node" in retry, retry["flowRevision"]) == (False, "Pinned"), "those of an earlier retry do not count"
    done = plugin("retry", "one", "--node", "load", "--from", "start")
    assert (done.returncode, "Leave out --node" in done.stderr) == (2, True)


def test_impossible_edit_is_refused_with_an_alternative(plugin: Plugin) -> None:
    plugin.create("failed", status=FAILED)
    before = plugin.get("failed")["metadata"]["resourceVersion"]
    done = plugin("pause", "failed")
    assert done.returncode == 3
    assert done.stderr == (
        "Error: execution.chaingraph.dev/failed has already failed.\n"
        f"Use instead: kubectl chaingraph retry failed -n {plugin.namespace}\n"
    )
    assert plugin.get("failed")["metadata"]["resourceVersion"] == before
    assert "Use instead: chaingraph retry failed" in plugin("pause", "failed", program="chaingraph").stderr


def test_several_names_each_have_their_answer(plugin: Plugin) -> None:
    plugin.create("runs", status=RUNNING)
    plugin.create("ended", status=FAILED)
    done = plugin("pause", "runs", "ended", "rnus")
    assert done.stdout == "execution.chaingraph.dev/runs pause requested\n"
    assert f"Execution 'rnus' not found in namespace '{plugin.namespace}'.\nDid you mean 'runs'?" in done.stderr
    assert "execution.chaingraph.dev/ended has already failed" in done.stderr
    assert done.returncode == 4
    assert plugin.spec("runs")["paused"] is True


def test_selection_skips_executions_unfit_for_the_verb(plugin: Plugin) -> None:
    plugin.create("mine", labels={"team": "data"}, status=RUNNING)
    plugin.create("mine-ended", labels={"team": "data"}, status=FAILED)
    plugin.create("other", status=RUNNING)
    done = plugin("stop", "-l", "team=data")
    assert done.returncode == 0
    assert "mine stop requested" in done.stdout
    assert "mine-ended has already failed. Skipped." in done.stdout
    assert "stop" not in plugin.spec("other") or plugin.spec("other")["stop"] is False
    assert plugin("stop", "--all").returncode == 0
    assert plugin.spec("other")["stop"] is True
    assert plugin("stop", "-l", "team=nobody").stdout == "No executions found.\n"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("pause",), "No executions given: use NAME, -l LABELS or --all."),
        (("pause", "a", "--all"), "cannot be combined"),
        (("pause", "flow/a"), "'flow/a' is not an execution"),
        (("stop", "a", "--reason"), "expected one argument"),
        (("pasue", "a"), "Did you mean 'pause'?"),
        (("wait", "a", "--timeout", "soon"), "invalid duration 'soon': use for example 30s, 5m or 1h30m"),
    ],
)
def test_invalid_arguments_are_rejected(plugin: Plugin, arguments: tuple[str, ...], words: str) -> None:
    done = plugin(*arguments)
    assert done.returncode == 2
    assert words in done.stderr


def test_edit_is_checked_again_when_the_state_has_changed(plugin: Plugin) -> None:
    """A kubectl that lets the execution end between the read and the edit: nothing is changed, and it says why."""
    plugin.create("one", status={"phase": "Pending"})
    program = plugin.run("which", "kubectl").stdout.strip()
    script = f"""#!/bin/sh
case "$*" in
*/metadata/generation*)
  {program} patch -n {plugin.namespace} cgx one --subresource=status --type=merge \\
    -p '{{"status":{{"phase":"Failed"}}}}' >/dev/null
  ;;
esac
exec {program} "$@"
"""
    late = plugin.folder / "kubectl-that-is-late"
    late.write_text(script, encoding="utf-8")
    late.chmod(0o755)
    done = plugin("pause", "one", environment={"KUBECTL": str(late)})
    assert done.returncode == 3
    assert "has already failed" in done.stderr
    assert plugin.spec("one")["paused"] is False


def test_breakpoints_are_added_listed_removed_and_cleared(plugin: Plugin) -> None:
    plugin.create("one", status=RUNNING)
    done = plugin("breakpoints", "add", "one", "load", "trnsform")
    assert done.returncode == 0
    assert done.stdout == "execution.chaingraph.dev/one breakpoints set: load, trnsform\n"
    assert done.stderr == "Warning: the flow has no node 'trnsform'; did you mean 'transform'?\n"
    assert plugin.spec("one")["options"]["breakpoints"] == ["load", "trnsform"]
    assert plugin("breakpoints", "remove", "one", "trnsform").returncode == 0
    plugin.show("one", phase="Paused", currentNodes=["load"])
    assert plugin("breakpoints", "list", "one").stdout == "NODE   NOW\nload   held\n"
    shown = yaml.safe_load(plugin("breakpoints", "list", "one", "-o", "yaml").stdout)
    assert shown == {"execution": "one", "breakpoints": [{"node": "load", "held": True}]}
    assert plugin("breakpoints", "remove", "one", "extract").returncode == 2
    assert plugin("breakpoints", "clear", "one").returncode == 0
    assert plugin("breakpoints", "list", "one").stdout == "execution.chaingraph.dev/one has no breakpoints.\n"


def test_the_rights_are_those_of_kubectl(plugin: Plugin, kubectl: Kubectl) -> None:
    """Who may read and not edit can get, and is told what is missing when pausing."""
    plugin.create("one", status=RUNNING)
    kubectl("create", "serviceaccount", "reader", "-n", plugin.namespace)
    kubectl(
        "create", "role", "reader", "--verb=get,list", "--resource=executions.chaingraph.dev", "-n", plugin.namespace
    )
    account = f"{plugin.namespace}:reader"
    kubectl("create", "rolebinding", "reader", "--role=reader", f"--serviceaccount={account}", "-n", plugin.namespace)
    token = kubectl("create", "token", "reader", "-n", plugin.namespace).stdout.strip()
    config = yaml.safe_load(kubectl("config", "view", "--raw").stdout)
    config["users"][0]["user"] = {"token": token}
    path = plugin.folder / "reader"
    path.write_text(yaml.safe_dump(config), encoding="utf-8")
    assert plugin("get", "one", "--kubeconfig", str(path)).returncode == 0
    done = plugin("pause", "one", "--kubeconfig", str(path))
    assert done.returncode == 5
    missing = f"user 'system:serviceaccount:{account}' cannot patch executions in namespace '{plugin.namespace}'."
    assert done.stderr.startswith(f"Error: Forbidden: {missing}\n")
    assert plugin.spec("one")["paused"] is False


def test_unreachable_cluster_is_reported(plugin: Plugin) -> None:
    done = plugin("get", environment={"KUBECONFIG": "/nowhere", "HOME": "/nowhere"})
    assert done.returncode == 6, done.stderr
    assert done.stderr.splitlines() == [
        "Error: The connection to the server localhost:8080 was refused - did you specify the right host or port?",
        "Check which cluster is in use: kubectl config current-context",
    ]


def test_new_tokens_carry_their_time_and_satisfy_the_api() -> None:
    made = {new_token() for _ in range(100)}
    assert len(made) == 100
    assert all(re.fullmatch(r"\d{8}T\d{6}\.\d{3}Z-[0-9a-f]{6}", each) for each in made)
    ExecutionSpec.model_validate({"flowRef": {"name": "a"}, "step": made.pop()})
