"""`kubectl chaingraph create`: what becomes of Flows, files, inputs and events."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml

from chaingraph_cli.errors import Usage
from chaingraph_cli.executions import inputs, manifest
from chaingraph_crds import names
from chaingraph_crds.execution import ExecutionSpec
from fixtures.plugin.plugin import FLOW, Plugin


@pytest.mark.integration
def test_create_prints_the_name_of_the_execution(plugin: Plugin) -> None:
    declared = [{"name": "n", "type": "number"}, {"name": "who", "type": "string"}, {"name": "day"}]
    spec = FLOW | {"inputs": declared}
    item = {"apiVersion": names.API_VERSION, "kind": "Flow", "metadata": {"name": "nightly"}, "spec": spec}
    plugin.kubectl("create", "-f", "-", input=json.dumps(item))
    arguments = ("--input", "n=3", "--input", "who=4", "--input", "day=12:30", "--label", "team=data")
    done = plugin("create", "--flow", "nightly", *arguments)
    assert (done.returncode, done.stderr) == (0, "")
    name = done.stdout.removesuffix("\n")
    assert name.startswith("nightly-")
    assert len(name) > len("nightly-")
    made = plugin.get(name)
    assert made["metadata"]["labels"] == {"team": "data"}
    assert made["spec"]["flowRef"] == {"name": "nightly"}
    assert made["spec"]["inputs"] == {"n": 3, "who": "4", "day": "12:30"}
    for argument, words in (
        ("n=many", "--input n=many: input 'n' of Flow 'nightly' must be a number, such as 3 or 0.5."),
        ("whoo=x", "--input whoo=x: Flow 'nightly' has no input 'whoo'; did you mean 'who'?"),
    ):
        done = plugin("create", "--flow", "nightly", "--input", argument)
        assert (done.returncode, words in done.stderr) == (2, True), done.stderr
    plugin.kubectl("patch", "cgx", name, "--type=merge", "-p", '{"spec": {"stop": true, "priority": 7}}')
    again = plugin("create", "--from-execution", name, "--input", "n=5").stdout.strip()
    assert again.startswith("nightly-")
    assert again != name
    spec = plugin.spec(again)
    assert spec["inputs"] == {"n": 5, "who": "4", "day": "12:30"}
    assert (spec["priority"], spec["stop"]) == (7, False)


@pytest.mark.integration
def test_create_refuses_a_missing_flow(plugin: Plugin) -> None:
    item = {"apiVersion": names.API_VERSION, "kind": "Flow", "metadata": {"name": "nightly"}, "spec": FLOW}
    plugin.kubectl("create", "-f", "-", input=json.dumps(item))
    done = plugin("create", "--flow", "nigthly", "--name", "one", "-o", "name")
    assert (done.returncode, done.stdout) == (4, "")
    assert done.stderr == (
        f"Error: Flow 'nigthly' not found in namespace '{plugin.namespace}'.\nDid you mean 'nightly'?\n"
        "To create the execution before its Flow, use --allow-missing.\n"
    )
    done = plugin("create", "--flow", "nigthly", "--name", "one", "-o", "name", "--allow-missing")
    assert (done.returncode, done.stdout) == (0, "execution.chaingraph.dev/one\n")
    missing = f"Flow 'nigthly' not found in namespace '{plugin.namespace}'."
    assert f"Warning: {missing} The execution starts once the Flow is created." in done.stderr
    done = plugin("create", "--from-execution", "oen")
    assert (done.returncode, "Did you mean 'one'?" in done.stderr) == (4, True)


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
    done = plugin("create", "--flow", "nightly", "--allow-missing", "--name", "Not A Name")
    assert done.returncode == 2
    assert "Not A Name" in done.stderr
    done = plugin("create", "--flow", "nightly", "--allow-missing", "--breakpoint", "1a", "--name", "one")
    assert done.returncode == 2
    assert "spec.options.breakpoints" in done.stderr


@pytest.mark.integration
def test_create_rejects_a_name_in_use(plugin: Plugin) -> None:
    plugin.create("one")
    done = plugin("create", "--flow", "nightly", "--allow-missing", "--name", "one")
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

    def complete() -> None:
        for name in ("two", "three"):
            plugin.kubectl("wait", "--for=create", f"cgx/{name}", "--timeout=30s")
            plugin.show(name, phase="Completed", outputs={"total": 3, "text": "a\nb"})

    ending = plugin.meanwhile(complete)
    create = ("create", "-f", "-", "--wait", "--timeout", "60s")
    two = plugin(*create, "--name", "two", input=yaml.safe_dump(FLOW))
    three = plugin(*create, "--name", "three", "-o", "json", input=yaml.safe_dump(FLOW))
    ending.join()
    assert two.stdout == "two\nexecution.chaingraph.dev/two completed\nOutputs:\n  text:\n    a\n    b\n  total: 3\n"
    assert json.loads(three.stdout)["status"]["outputs"]["total"] == 3
    accepted = plugin(*create[:-3], "--wait=accepted", "--timeout", "1s", "--name", "four", input=yaml.safe_dump(FLOW))
    assert (accepted.returncode, "four is still waiting for the operator" in accepted.stderr) == (124, True)
    assert plugin("stop", "two", "--wait=end").returncode == 3


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
    execution = manifest.made(manifest.CreateOptions(name="one"), of(tmp_path, FLOW))
    again = manifest.made(
        manifest.CreateOptions(inputs={"b": 2}, breakpoints=["load"], labels={"a": "b"}),
        of(tmp_path, execution | {"spec": {"flow": FLOW, "inputs": {"a": 1, "b": 1}}}),
    )
    assert again["metadata"] == {"name": "one", "labels": {"a": "b"}}
    assert again["spec"]["inputs"] == {"a": 1, "b": 2}
    ExecutionSpec.model_validate(again["spec"])


@pytest.mark.parametrize(
    ("documents", "words"),
    [
        ([FLOW, FLOW], "2 documents"),
        ([{"kind": "Pod"}], "has kind 'Pod'"),
        ([{"edges": []}], "`nodes` is missing"),
    ],
)
def test_manifest_rejects_other_documents(tmp_path: Any, documents: list[dict[str, Any]], words: str) -> None:
    with pytest.raises(Usage, match=words):
        of(tmp_path, *documents)


def test_manifest_rejects_unreadable_files(tmp_path: Any) -> None:
    with pytest.raises(Usage, match=r"Cannot read .*: No such file"):
        manifest.of_file(str(tmp_path / "none"))
    (tmp_path / "bad.yaml").write_text("a: [", encoding="utf-8")
    with pytest.raises(Usage, match=r"not valid YAML or JSON: line \d: "):
        manifest.of_file(str(tmp_path / "bad.yaml"))


def test_inputs_are_read_by_their_declared_types() -> None:
    flow = {"inputs": [{"name": type_, "type": type_} for type_ in ("number", *inputs._KINDS)] + [{"name": "any"}]}

    def read(type_: str, written: str) -> Any:
        return inputs.typed([f"{type_}={written}"], flow, flow_name="f")[type_]

    right = [
        *[("string", each, each) for each in ("3", "true", "null", "[1]", "yes", "12:30", "NaN", "", "a=b", "{")],
        ("string", '"3"', "3"),
        *[("number", each, value) for each, value in (("3", 3), ("-0.5", -0.5), ("1e3", 1000.0))],
        *[("boolean", each, value) for each, value in (("true", True), ("false", False))],
        ("array", "[1, 2]", [1, 2]),
        ("object", '{"a": null}', {"a": None}),
        *[("any", each, value) for each, value in (("3", 3), ("x", "x"), ("null", None), ("yes", "yes"))],
    ]
    for type_, written, value in right:
        found = read(type_, written)
        assert (found, type(found)) == (value, type(value)), (type_, written)
    for type_, written in (
        *[("number", each) for each in ("x", "true", "NaN", "Infinity", "12:30", "", '"3"', "0x1f", "1_0")],
        *[("boolean", each) for each in ("yes", "True", "1", "")],
        *[("array", each) for each in ("[1", "1, 2", '{"a": 1}')],
        *[("object", each) for each in ("{a: 1}", "[]")],
    ):
        with pytest.raises(Usage, match=f"--input {type_}=.*: input '{type_}' of Flow 'f' must be "):
            read(type_, written)


def test_input_is_parsed_by_the_type_of_its_schema() -> None:
    declared = [
        {"name": "id", "schema": {"type": "string", "maxLength": 3}},
        {"name": "tier", "schema": {"type": "enum", "options": ["1", "2"]}},
        {"name": "count", "type": "number", "schema": {"minimum": 1}},
        {"name": "note", "schema": "string"},
    ]
    given = inputs.typed(["id=12", "tier=1", "count=3", "note=true"], {"inputs": declared}, flow_name="f")
    assert given == {"id": "12", "tier": "1", "count": 3, "note": "true"}


def test_command_line_inputs_override_those_of_the_file(tmp_path: Any) -> None:
    file = tmp_path / "inputs.yaml"
    file.write_text('a: 1\nb: text\ntime: 12:30\n"n": y\n', encoding="utf-8")
    given = inputs.typed(["b=true", 'digits="3"', "empty=", "pair=x=y", "list=[1, 2]"], None, flow_name="")
    assert given == {"b": True, "digits": "3", "empty": "", "pair": "x=y", "list": [1, 2]}
    assert manifest.inputs_of(str(file)) == {"a": 1, "b": "text", "time": "12:30", "n": True}
    with pytest.raises(Usage, match="KEY=VALUE"):
        inputs.typed(["b"], None, flow_name="")
    file.write_text("- a\n", encoding="utf-8")
    with pytest.raises(Usage, match="expected a mapping from input names"):
        manifest.inputs_of(str(file))


def test_an_execution_is_repeated_without_what_was_done_with_it() -> None:
    item = {
        "metadata": {"name": "nightly-7xk2p", "generateName": "nightly-", "labels": {"a": "b"}, "uid": "1"},
        "spec": {
            "flow": FLOW,
            "inputs": {"a": 1},
            "stop": True,
            "stopReason": "x",
            "retry": {"token": "1"},
            "signals": [{"id": "1", "name": "paid"}],
            "queue": "q",
        },
        "status": {"phase": "Failed"},
    }
    assert manifest.again(item) == {
        "apiVersion": names.API_VERSION,
        "kind": "Execution",
        "metadata": {"generateName": "nightly-"},
        "spec": {"flow": FLOW, "inputs": {"a": 1}, "queue": "q"},
    }
    child = {"metadata": {"name": "c"}, "spec": {"spawnedBy": {"parentName": "orders"}}}
    with pytest.raises(Usage, match="is a child of orders and cannot be run alone"):
        manifest.again(child)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["id=NaN"], "spec.inputs.id is NaN, which JSON does not have."),
        (['rows=[{"x": -Infinity}]'], "spec.inputs.rows[0].x is -Infinity, which JSON does not have."),
        (["id=18446744073709551615"], "spec.inputs.id is 18446744073709551615, and Kubernetes rounds whole numbers of"),
        (["id=36893488147419103232"], "--input id: the number is 36893488147419103232, a whole number of more than 64"),
        (["x=0.12345678901234567891"], "--input x: the number is 0.12345678901234567891, which has 20 significant"),
        (["x=1e999"], "--input x: the number is 1e999, beyond the largest number"),
    ],
)
def test_numbers_that_would_change_are_refused_by_name(arguments: list[str], said: str) -> None:
    with pytest.raises(Usage) as caught:
        manifest.text(
            manifest.made(
                manifest.CreateOptions(inputs=inputs.typed(arguments, None, flow_name="")), manifest.of_flow("f")
            )
        )
    assert caught.value.message.startswith(said)
    assert "--input" in caught.value.hint


def test_numbers_of_a_file_are_kept_or_refused(tmp_path: Any) -> None:
    file = tmp_path / "inputs.yaml"
    file.write_text("a: 9223372036854775807\nb: 0.1\nc: -9223372036854775808\n", encoding="utf-8")
    wishes = manifest.CreateOptions(inputs=manifest.inputs_of(str(file)))
    assert json.loads(manifest.text(manifest.made(wishes, manifest.of_flow("f"))))["spec"]["inputs"] == {
        "a": 2**63 - 1,
        "b": 0.1,
        "c": -(2**63),
    }
    file.write_text("a: .nan\n", encoding="utf-8")
    with pytest.raises(Usage, match=r"line 1: \.nan is not a JSON number"):
        manifest.inputs_of(str(file))


def test_event_option_takes_an_optional_payload() -> None:
    assert manifest.event("go") == {"name": "go"}
    assert manifest.event("go=null") == {"name": "go", "payload": None}
    assert manifest.event('go={"id": 7}') == {"name": "go", "payload": {"id": 7}}
    with pytest.raises(Usage, match="NAME=PAYLOAD"):
        manifest.event("=7")
