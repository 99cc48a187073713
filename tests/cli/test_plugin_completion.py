"""The Tab key: through kubectl itself, through a real bash, and what each place offers."""

from __future__ import annotations

import json
import shutil

import pytest

from chaingraph_cli.execution import PHASES
from chaingraph_cli.main import CHAINGRAPH
from chaingraph_cli.render import event_lines
from chaingraph_cli.verbs.completion import answer
from chaingraph_crds import names
from chaingraph_crds.execution import ExecutionPhase
from chaingraph_flow.events import EVENT_TYPES
from fixtures.plugin.plugin import FLOW, Plugin

TREE_OPEN = {
    "type": "TreeSucceeded",
    "status": "Unknown",
    "reason": "ChildrenActive",
    "message": "3 children: 1 running, 2 completed",
    "lastTransitionTime": "2026-11-24T02:00:00Z",
}
GOES_ON = {"onStop": "Continue"}


def offered(*words: str) -> list[str]:
    *lines, directive = answer(CHAINGRAPH, words).splitlines()
    assert directive.startswith(":")
    return [line.partition("\t")[0] for line in lines]


def test_completion_offers_commands_options_and_choices() -> None:
    assert offered("re") == ["resume", "retry", "reject"]
    assert offered("tre") == ["tree"]
    assert offered("roots", "--phase", "F") == ["Failed"]
    assert {"--depth", "--watch"} <= set(offered("tree", "orders", "--"))
    assert {"--flow", "--limit", "--cursor", "--all-namespaces"} <= set(offered("roots", "--"))
    assert offered("wait", "a", "--for", "t") == ["tree"]
    assert offered("create", "--flow", "a", "--wait", "") == ["accepted", "end", "tree"]
    assert {"--from-execution", "--allow-missing"} <= set(offered("create", "--"))
    assert {"--flow", "--since", "--watch", "--all"} <= set(offered("get", "--"))
    assert offered("breakpoints", "--wait", "") == ["accepted", "end", "tree", "list", "add", "remove", "clear"]
    assert offered("breakpoints", "--wait", "end", "") == ["list", "add", "remove", "clear"]
    assert "retry\tRetry failed or stopped executions." in answer(CHAINGRAPH, ["re"]).splitlines()
    assert offered("stop", "--") == [
        "--selector",
        "--all",
        "--wait",
        "--timeout",
        "--reason",
        "--namespace",
        "--context",
        "--kubeconfig",
    ]
    assert "--wait" not in offered("stop", "a", "--wait", "--")
    assert offered("wait", "a", "--for", "f") == ["finished", "failed"]
    assert offered("wait", "a", "--for=f") == ["finished", "failed"]
    assert offered("breakpoints", "") == ["list", "add", "remove", "clear"]
    assert offered("get", "--phase", "P") == ["Pending", "Paused"]
    assert "node:failed" in offered("events", "a", "--type", "node:")
    assert offered("nonsense", "") == []


def test_completion_leaves_files_to_the_shell() -> None:
    assert answer(CHAINGRAPH, ["create", "-f", ""]) == ":0"
    assert answer(CHAINGRAPH, ["up", "--state", ""]) == ":16"


def test_completion_words_match_the_engine_and_the_api() -> None:
    assert set(event_lines.TYPES) == EVENT_TYPES
    assert set(event_lines.LOG_TYPES) < EVENT_TYPES
    assert list(PHASES) == list(ExecutionPhase)


def by_kubectl(plugin: Plugin, *words: str) -> list[str]:
    """What kubectl itself answers, which asks kubectl_complete-chaingraph."""
    done = plugin.run("kubectl", "__complete", "chaingraph", *words)
    assert done.returncode == 0, done.stderr
    return [line for line in done.stdout.splitlines() if not line.startswith(":")]


@pytest.mark.integration
def test_kubectl_completion_offers_only_suitable_names(plugin: Plugin) -> None:
    item = {"apiVersion": names.API_VERSION, "kind": "Flow", "metadata": {"name": "nightly"}, "spec": FLOW}
    plugin.kubectl("create", "-f", "-", input=json.dumps(item))
    plugin.create("runs", flowRef={"name": "nightly"}, status={"phase": "Running"})
    plugin.create("failed", status={"phase": "Failed"}, options={"breakpoints": ["load"]})
    where = ("-n", plugin.namespace)
    plugin.create("open", status={"phase": "Completed", "conditions": [TREE_OPEN]})
    plugin.create("open-goes-on", status={"phase": "Completed", "conditions": [TREE_OPEN]}, children=GOES_ON)
    plugin.create("ended", status={"phase": "Completed"})
    assert by_kubectl(plugin, *where, "stop", "") == ["open\tCompleted", "runs\tRunning"]
    plugin.kubectl("delete", "cgx", "open", "open-goes-on", "ended")
    assert by_kubectl(plugin, *where, "tree", "") == ["failed\tFailed", "runs\tRunning"]
    assert by_kubectl(plugin, *where, "roots", "--flow", "") == ["nightly"]
    assert by_kubectl(plugin, *where, "pause", "") == ["runs\tRunning"]
    assert by_kubectl(plugin, "retry", *where, "") == ["failed\tFailed"]
    assert by_kubectl(plugin, "get", *where, "") == ["failed\tFailed", "runs\tRunning"]
    assert by_kubectl(plugin, "get", *where, "runs", "") == ["failed\tFailed"]
    assert by_kubectl(plugin, *where, "create", "--flow", "n") == ["nightly"]
    assert by_kubectl(plugin, *where, "create", "--flow", "nightly", "--breakpoint", "") == [
        "extract",
        "transform",
        "load",
    ]
    assert by_kubectl(plugin, *where, "breakpoints", "add", "runs", "extract", "") == ["transform", "load"]
    assert by_kubectl(plugin, *where, "breakpoints", "remove", "failed", "") == ["load"]
    assert by_kubectl(plugin, *where, "logs", "runs", "--node", "t") == ["transform"]
    assert plugin.namespace in by_kubectl(plugin, "get", "-n", "test-")
    assert by_kubectl(plugin, "get", "--context", "") == ["chaingraph"]


@pytest.mark.integration
def test_completion_without_a_cluster_is_silent(plugin: Plugin) -> None:
    done = plugin.run("kubectl_complete-chaingraph", "pause", "", environment={"KUBECONFIG": "/nowhere"})
    assert (done.returncode, done.stdout, done.stderr) == (0, ":4\n", "")


@pytest.mark.integration
@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash")
def test_completion_works_in_bash(plugin: Plugin) -> None:
    plugin.create("runs", status={"phase": "Running"})
    # Stubs of the package bash-completion and of the shell's own part.
    script = """
_get_comp_words_by_ref() { words=("${COMP_WORDS[@]}"); cword=$COMP_CWORD; cur=${words[cword]}; }
compopt() { :; }
source <(chaingraph completion bash)
try() { COMP_WORDS=("$@") COMP_CWORD=$(($# - 1)) COMPREPLY=(); __start_chaingraph; echo "${COMPREPLY[*]}"; }
try chaingraph pa
try chaingraph -n $NAMESPACE pause ""
try chaingraph wait runs --for=f
try chaingraph events runs --type node:f
"""
    done = plugin.run("bash", "-c", script, environment={"NAMESPACE": plugin.namespace})
    assert (done.stdout.splitlines(), done.stderr) == (["pause", "runs", "finished failed", "failed"], "")


@pytest.mark.integration
@pytest.mark.skipif(shutil.which("fish") is None, reason="there is no fish")
def test_completion_works_in_fish(plugin: Plugin) -> None:
    plugin.create("runs", status={"phase": "Running"})
    script = """
chaingraph completion fish | source
complete -C "chaingraph pa"
complete -C "chaingraph -n $NAMESPACE pause "
complete -C "chaingraph wait runs --for=f"
complete -C "chaingraph events runs --type node:f"
"""
    environment = {"NAMESPACE": plugin.namespace, "HOME": str(plugin.folder)}
    done = plugin.run("fish", "-c", script, environment=environment)
    offered = [line.partition("\t")[0] for line in done.stdout.splitlines()]
    assert (offered, done.stderr) == (["pause", "runs", "--for=failed", "--for=finished", "node:failed"], "")
