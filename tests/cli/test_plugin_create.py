"""`kubectl chaingraph create`: what becomes of Flows, files, inputs and events."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml

from chaingraph_cli.errors import Usage
from chaingraph_cli.plugin import manifest
from chaingraph_crds import names
from chaingraph_crds.execution import ExecutionSpec
from fixtures.plugin.plugin import FLOW, Plugin


@pytest.mark.integration
def test_create_prints_the_name_of_the_execution(plugin: Plugin) -> None:
    item = {"apiVersion": names.API_VERSION, "kind": "Flow", "metadata": {"name": "nightly"}, "spec": FLOW}
    plugin.kubectl("create", "-f", "-", input=json.dumps(item))
    done = plugin("create", "--flow", "nightly", "--input", "n=3", "--input", "who=Ada", "--label", "team=data")
    assert (done.returncode, done.stderr) == (0, "")
    name = done.stdout.removesuffix("\n")
    assert name.startswith("nightly-")
    assert len(name) > len("nightly-")
    made = plugin.get(name)
    assert made["metadata"]["labels"] == {"team": "data"}
    assert made["spec"]["flowRef"] == {"name": "nightly"}
    assert made["spec"]["inputs"] == {"n": 3, "who": "Ada"}


@pytest.mark.integration
def test_create_warns_about_a_missing_flow(plugin: Plugin) -> None:
    item = {"apiVersion": names.API_VERSION, "kind": "Flow", "metadata": {"name": "nightly"}, "spec": FLOW}
    plugin.kubectl("create", "-f", "-", input=json.dumps(item))
    done = plugin("create", "--flow", "nigthly", "--name", "one", "-o", "name")
    assert done.stdout == "execution.chaingraph.dev/one\n"
    assert done.returncode == 0
    assert "there is no Flow 'nigthly' yet" in done.stderr
    assert "Did you mean 'nightly'?" in done.stderr


@pytest.mark.integration
def test_create_reads_stdin_with_pause_and_breakpoints(plugin: Plugin) -> None:
    arguments = ("create", "-f", "-", "--name", "trial", "--paused", "--breakpoint", "load", "--event", "go")
    done = plugin(*arguments, input=yaml.safe_dump(FLOW))
    assert (done.returncode, done.stdout) == (0, "trial\n")
    spec = plugin.spec("trial")
    assert spec["flow"]["nodes"] == FLOW["nodes"]
    assert (spec["paused"], spec["options"]["breakpoints"], spec["events"]) == (True, ["load"], [{"name": "go"}])


@pytest.mark.integration
def test_create_passes_on_the_api_servers_refusal(plugin: Plugin) -> None:
    done = plugin("create", "--flow", "nightly", "--name", "Not A Name")
    assert done.returncode == 2
    assert "Not A Name" in done.stderr
    done = plugin("create", "--flow", "nightly", "--breakpoint", "1a", "--name", "one")
    assert done.returncode == 2
    assert "spec.options.breakpoints" in done.stderr


@pytest.mark.integration
def test_create_rejects_a_name_in_use(plugin: Plugin) -> None:
    plugin.create("one")
    done = plugin("create", "--flow", "nightly", "--name", "one")
    assert done.returncode == 1
    assert "already exists" in done.stderr


@pytest.mark.integration
def test_a_dry_run_prints_the_manifest_and_creates_nothing(plugin: Plugin) -> None:
    done = plugin("create", "--flow", "nightly", "--name", "one", "--dry-run", "client", "-o", "yaml")
    assert yaml.safe_load(done.stdout)["spec"] == {"flowRef": {"name": "nightly"}}
    assert plugin("get").stdout == "No executions found in this namespace.\n"


@pytest.mark.integration
def test_create_wait_reports_the_outcome(plugin: Plugin) -> None:
    def end() -> None:
        plugin.kubectl("wait", "--for=create", "cgx/one", "--timeout=30s")
        plugin.show("one", phase="Failed", error={"node": "load", "message": "no space left"})

    ending = plugin.meanwhile(end)
    done = plugin("create", "-f", "-", "--name", "one", "--wait", "--timeout", "60s", input=yaml.safe_dump(FLOW))
    ending.join()
    assert done.stdout == "one\nexecution.chaingraph.dev/one failed: node 'load': no space left\n"
    assert done.returncode == 1


def of(tmp_path: Any, *documents: dict[str, Any]) -> manifest.Manifest:
    file = tmp_path / "My Flow.yaml"
    file.write_text(yaml.safe_dump_all(documents), encoding="utf-8")
    return manifest.of_file(str(file))


def test_manifest_accepts_a_flow_a_bare_flow_or_an_execution(tmp_path: Any) -> None:
    bare = of(tmp_path, FLOW)
    assert bare["metadata"] == {"generateName": "my-flow-"}
    assert bare["spec"] == {"flow": FLOW}
    flow = {"apiVersion": names.API_VERSION, "kind": "Flow", "metadata": {"name": "nightly"}, "spec": FLOW}
    assert of(tmp_path, flow)["metadata"] == {"generateName": "nightly-"}
    execution = manifest.made(manifest.Wishes(name="one"), of(tmp_path, FLOW))
    again = manifest.made(
        manifest.Wishes(inputs={"b": 2}, breakpoints=["load"], labels={"a": "b"}),
        of(tmp_path, execution | {"spec": {"flow": FLOW, "inputs": {"a": 1, "b": 1}}}),
    )
    assert again["metadata"] == {"name": "one", "labels": {"a": "b"}}
    assert again["spec"]["inputs"] == {"a": 1, "b": 2}
    ExecutionSpec.model_validate(again["spec"])


@pytest.mark.parametrize(
    ("documents", "words"),
    [
        ([FLOW, FLOW], "2 documents"),
        ([{"kind": "Pod"}], "is of kind 'Pod'"),
        ([{"edges": []}], "there are no `nodes` in it"),
    ],
)
def test_manifest_rejects_other_documents(tmp_path: Any, documents: list[dict[str, Any]], words: str) -> None:
    with pytest.raises(Usage, match=words):
        of(tmp_path, *documents)


def test_manifest_rejects_unreadable_files(tmp_path: Any) -> None:
    with pytest.raises(Usage, match="cannot be read: No such file"):
        manifest.of_file(str(tmp_path / "none"))
    (tmp_path / "bad.yaml").write_text("a: [", encoding="utf-8")
    with pytest.raises(Usage, match="neither YAML nor JSON"):
        manifest.of_file(str(tmp_path / "bad.yaml"))


def test_command_line_inputs_override_those_of_the_file(tmp_path: Any) -> None:
    file = tmp_path / "inputs.yaml"
    file.write_text("a: 1\nb: text\n", encoding="utf-8")
    given = manifest.inputs(["b=true", 'digits="3"', "empty=", "pair=x=y", "list=[1, 2]"], str(file))
    assert given == {"a": 1, "b": True, "digits": "3", "empty": "", "pair": "x=y", "list": [1, 2]}
    with pytest.raises(Usage, match="KEY=VALUE"):
        manifest.inputs(["b"], None)
    file.write_text("- a\n", encoding="utf-8")
    with pytest.raises(Usage, match="a mapping from their names"):
        manifest.inputs([], str(file))


def test_event_option_takes_an_optional_payload() -> None:
    assert manifest.event("go") == {"name": "go"}
    assert manifest.event("go=null") == {"name": "go", "payload": None}
    assert manifest.event('go={"id": 7}') == {"name": "go", "payload": {"id": 7}}
    with pytest.raises(Usage, match="NAME=PAYLOAD"):
        manifest.event("=7")
