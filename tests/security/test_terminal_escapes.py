"""Text of flows, objects and servers cannot steer the terminal of whoever looks at it (M10, 22-escape.yaml)."""

from __future__ import annotations

import argparse
import io
import json
import os
import subprocess
import sys
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TextIO, cast

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st
from rich.console import Console

from chaingraph_cli.cluster.programs.probes import HttpProbe
from chaingraph_cli.cluster.spec import ProcessCondition, ProcessSpec, Report, Tier
from chaingraph_cli.cluster.state import StateFolder
from chaingraph_cli.commands import print_error
from chaingraph_cli.errors import CliError
from chaingraph_cli.execution import PHASES, Execution, describe
from chaingraph_cli.executions import outcomes
from chaingraph_cli.gateway.event_stream import Event
from chaingraph_cli.local import demo_view, status
from chaingraph_cli.local.examples import Example
from chaingraph_cli.main import PLUGIN
from chaingraph_cli.render import details, listing, tree_rows, tree_watch
from chaingraph_cli.render.event_lines import LOG_TYPES, TYPES, event_line, log_lines
from chaingraph_cli.terminal import escapes, tables
from chaingraph_cli.terminal.output import OutputFormat, dump
from chaingraph_cli.terminal.output import console as make_console
from chaingraph_cli.terminal.progress import ProgressLine
from chaingraph_cli.verbs import nodes, roots, tree
from fixtures.paths import ROOT
from fixtures.plugin.plugin import Plugin
from fixtures.processes.gateway import GatewayProcess
from fixtures.processes.system import System

SCRIPTS: Final = Path(sys.executable).parent
ATTACKS: Final = (
    # What 22-escape.yaml says.
    "\x1b[2J\x1b[3J\x1b[1;1H\x1b[m spoofed \x1b[60C\x1b[1;0m. Done\rXX\a",
    "\x1b[2J\x1b[1;1Hspoofed\x1b]0;title\a",
    # Its relatives: C1 instead of ESC, backspaces, DEL, device control, clipboard, links.
    "\x9b2Jspoofed\x9d0;title\x9c",
    "x\b\b\x7f\x90q\x9c\x1bPq\x1b\\\x1b]52;c;cm0gLXJm\a\x1b]8;;http://evil\x1b\\ok\x1b]8;;\x1b\\",
    "line\x85line\u2028line\u2029line\x0bline\x0cline\x1cline",
    "\u202eexe.fdp\u202c \u2066a\u2067b\u2068c\u2069 \u200e\u200f\u061c",
    "a\u200bb\u2063c\ufeffd\u00ade\U000e0041\u3164",
    "\ud800 \udfff",
    "Done\nexecution.chaingraph.dev/other completed\tforged",
    "[bold red]markup[/] \\[x] [link=http://evil]y[/link]",
)
JOINERS: Final = "\u200c\u200d"
hostile = st.one_of(
    st.sampled_from(ATTACKS),
    st.text(st.one_of(st.sampled_from("".join(ATTACKS)), st.characters()), max_size=40),
)


def steers(char: str) -> bool:
    """Judged by Unicode's categories, not by the list of the code: Cc, Cs, Zl, Zp, and format characters."""
    if char in "\n\t" or char in JOINERS:
        return False
    category = unicodedata.category(char)
    # Signs of Arabic and Kaithi numbers are of Cf and have a picture; so have hieroglyphs' and shorthand's.
    drawn = unicodedata.bidirectional(char) in ("AN", "AL", "L") and char not in "\u200e\u061c"
    return category in ("Cc", "Cs", "Zl", "Zp") or (category == "Cf" and not drawn)


def harmless(text: str) -> bool:
    return not any(map(steers, text))


def test_every_steering_character_is_escaped() -> None:
    for code in range(sys.maxunicode + 1):
        char = chr(code)
        if steers(char):
            assert harmless(escapes.printable(char)), hex(code)
            assert json.loads(f'"{escapes.printable(char)}"') == char


@pytest.mark.parametrize(
    "text",
    ["Grüße, 世界", "👩\u200d💻 🏳\ufe0f", "می\u200cخواهم", "שלום", "a\tb\nc", "café", "葛\U000e0100"],
)
def test_ordinary_text_is_left_alone(text: str) -> None:
    assert escapes.printable(text) == text


@given(hostile)
def test_printable_is_harmless_and_stable(text: str) -> None:
    once = escapes.printable(text)
    assert harmless(once)
    assert escapes.printable(once) == once
    assert "\n" not in escapes.one_line(text)
    once.encode("utf-8")


@given(st.recursive(hostile, lambda below: st.lists(below) | st.dictionaries(hostile, below), max_leaves=6))
def test_json_that_passes_the_guard_is_the_same(value: Any) -> None:
    raw = io.StringIO()
    for text in (json.dumps(value), json.dumps(value, ensure_ascii=False), dump({"v": value}, OutputFormat.JSON)):
        print(text, file=cast(TextIO, escapes.Guarded(raw)))
    printed = raw.getvalue()
    assert harmless(printed)
    decoder, found, rest = json.JSONDecoder(), [], printed
    while rest:
        content, end = decoder.raw_decode(rest)
        found.append(content)
        rest = rest[end:].lstrip()
    assert found == [value, value, {"v": value}]


@given(hostile.filter(lambda text: all(not 0xD800 <= ord(each) < 0xE000 for each in text)))
def test_yaml_that_passes_the_guard_is_the_same(text: str) -> None:
    raw = io.StringIO()
    print(dump({"v": text}, OutputFormat.YAML), file=cast(TextIO, escapes.Guarded(raw)))
    assert harmless(raw.getvalue())
    assert yaml.safe_load(raw.getvalue()) == {"v": text}


def execution(text: str, phase: str) -> Execution:
    """An Execution with this text in all that a flow, a user or a server can say."""
    reason = {"type": "Succeeded", "status": "False", "reason": text, "message": text, "lastTransitionTime": ""}
    tree_reason = {"type": "TreeSucceeded", "status": "False", "reason": text, "message": text}
    return Execution(
        {
            "metadata": {"name": "x", "namespace": text, "labels": {text: text}, "generation": 1},
            "spec": {"options": {"breakpoints": [text]}, "flowRef": {"name": text}},
            "status": {
                "observedGeneration": 1,
                "executionID": text,
                "phase": phase,
                "worker": text,
                "workerVersion": text,
                "flowRevision": text,
                "nodes": {"total": 2, "completed": 1, "running": 1},
                "currentNodes": [text],
                "conditions": [reason, tree_reason],
                "attempts": [{"attempt": 1, "phase": text, "node": text, "message": text}],
                "children": {"total": 1, "completed": 1},
                "outputs": {text: text, "nested": {text: [text]}},
                "error": {"node": text, "message": text, "reason": text},
                "parentRef": {"name": text},
            },
        }
    )


def row(text: str, phase: str) -> dict[str, Any]:
    """A row of a tree, as the gateway has it."""
    return {
        "executionID": text,
        "parentID": "",
        "name": text,
        "phase": phase,
        "flow": text,
        "attempt": 1,
        "createdTime": "2026-11-30T10:00:00Z",
        "durationSeconds": 1.0,
        "currentNodes": [text],
        "children": {"Total": 1, "Completed": 1},
        "below": {"Total": 1, "Completed": 1},
        "error": {"node": text, "message": text, "reason": text},
        "namespace": text,
    }


def event(text: str, kind: str) -> Event:
    data = {
        **dict.fromkeys(("nodeId", "log", "error", "reason", "from", "to", "name", "childExecutionId"), text),
        "payload": {text: [text]},
        text: text,
    }
    return Event(1, kind, "2026-11-30T10:00:00Z", data, json.dumps(data, ensure_ascii=False))


ROOTS: Final = argparse.Namespace(output="wide", all_namespaces=True, no_headers=False)
RENDERERS: Final[dict[str, Callable[[str, str], str]]] = {
    "get": lambda text, phase: listing.rows_of([execution(text, phase)], wide=True, namespaces=True),
    "get NAME": lambda text, phase: details.details(execution(text, phase), lambda *words: " ".join(words)),
    "nodes": lambda text, phase: nodes.listed(
        [
            {"node": text, "outcome": "failed", "error": text},
            {"node": text, "outcome": "completed", "outputs": {text: text}},
        ],
        wide=True,
    ),
    "tree": lambda text, phase: tree.drawn([row(text, phase)], wide=True),
    "tree -w -o json": lambda text, phase: tree_rows.forms_of("json")(row(text, phase)),
    "roots": lambda text, phase: roots._listed([row(text, phase)], ROOTS),
    "events": lambda text, phase: "\n".join(event_line(event(text, kind)) for kind in TYPES),
    "logs": lambda text, phase: "\n".join(line for kind in LOG_TYPES for line in log_lines(event(text, kind))),
    "wait": lambda text, phase: str(outcomes.reached("completed")(execution(text, phase))),
    "standing": lambda text, phase: describe(execution(text, phase)),
}


@given(text=hostile, phase=st.sampled_from(PHASES))
@pytest.mark.parametrize("verb", RENDERERS)
def test_every_verb_prints_only_harmless_text(verb: str, text: str, phase: str) -> None:
    raw = io.StringIO()
    print(RENDERERS[verb](text, phase), file=cast(TextIO, escapes.Guarded(raw)))
    assert harmless(raw.getvalue())


@given(text=hostile, phase=st.sampled_from(PHASES))
@example(text=ATTACKS[-2], phase="Failed")
def test_texts_begin_no_line_of_their_own(text: str, phase: str) -> None:
    assert len(listing.rows_of([execution(text, phase)], wide=True, namespaces=True).split("\n")) == 2
    assert len(tree.drawn([row(text, phase)], wide=True).split("\n")) == 2
    assert all("\n" not in event_line(event(text, kind)) for kind in TYPES)
    assert "\n" not in describe(execution(text, phase))
    for kind in LOG_TYPES:
        assert all(line.startswith("2026-11-30T10:00:00Z  ") for line in log_lines(event(text, kind)))
    for line in details.details(execution(text, phase), lambda *words: " ".join(words)).split("\n"):
        assert not line.startswith("execution.chaingraph.dev")


@given(hostile, st.integers(0, 30))
def test_fitted_text_is_never_wider(text: str, columns: int) -> None:
    shown = escapes.fit(escapes.one_line(text), columns)
    assert escapes.width(shown) <= columns
    assert escapes.one_line(text).startswith(shown)


@pytest.mark.parametrize(("text", "columns"), [("abc", 3), ("世界", 4), ("e\u0301", 1), ("ｆｕｌｌ", 8), ("\u202e", 6)])
def test_width_counts_columns_of_the_terminal(text: str, columns: int) -> None:
    assert escapes.width(escapes.one_line(text)) == columns


@given(st.lists(st.lists(hostile, min_size=2, max_size=2), min_size=1, max_size=4))
def test_columns_stay_aligned_around_any_cell(rows: list[list[str]]) -> None:
    lines = tables.table(("NAME", "|"), [[cell, "|"] for cell, _ in rows]).split("\n")
    assert len(lines) == len(rows) + 1
    assert len({escapes.width(line) for line in lines}) == 1


@given(hostile, hostile)
def test_errors_reach_stderr_harmless(message: str, hint: str) -> None:
    raw = io.StringIO()
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(sys, "stderr", escapes.Guarded(raw))
        print_error(CliError(message, hint))
    assert harmless(raw.getvalue())


class Screen(io.StringIO):
    def isatty(self) -> bool:
        return True


@given(hostile)
def test_progress_keeps_its_own_codes_alone(text: str) -> None:
    screen = Screen()
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(sys, "stderr", escapes.Guarded(screen))
        shown = ProgressLine()
        shown.show(text or "x")
        shown.clear()
    written = screen.getvalue()
    assert written.startswith("\r")
    assert written.endswith("\x1b[K\r\x1b[K")
    said = written.removeprefix("\r").removesuffix("\x1b[K\r\x1b[K")
    assert harmless(said)
    assert "\n" not in said


@given(text=hostile, phase=st.sampled_from(PHASES))
def test_watched_tree_keeps_its_own_codes_alone(text: str, phase: str) -> None:
    screen = Screen()
    view = tree_watch._Screen(wide=True, headers=True)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(sys, "stdout", escapes.Guarded(screen))
        view.show([row(text, phase)])
        view.show([row(text, phase)])
    own = screen.getvalue().replace("\x1b[K", "").replace("\x1b[J", "").replace("\x1b[2F", "")
    assert harmless(own)
    assert own.count("\n") == 4


@given(hostile)
def test_styled_consoles_print_only_harmless_text(text: str) -> None:
    """`up`, `status` and `demo`: with styles, as on a terminal; those are the console's own and stay."""
    for file in (io.StringIO(), Screen()):
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(sys, "stdout", escapes.Guarded(file))
            patched.setenv("TERM", "xterm")
            console = make_console()
        console.width = 200
        assert console.is_terminal == file.isatty()
        _show_local(console, text)
        printed = file.getvalue()
        # Rich's own codes: colours and styles, closed by `m`.
        for code in ("\x1b[1;2m", "\x1b[1m", "\x1b[0m", "\x1b[2m", "\x1b[31m", "\x1b[32m", "\x1b[36m"):
            printed = printed.replace(code, "")
        assert harmless(printed), repr(printed)


def _show_local(console: Console, text: str) -> None:
    item = execution(text, "Failed").item
    shown = demo_view.DemoRow(Example(Path("x.yaml"), {"kind": "Execution", **item}), item["status"])
    console.print(demo_view._table([shown]))
    demo_view.print_results(console, [shown])
    spec = ProcessSpec("operator", (), Path("log"), HttpProbe(url="http://127.0.0.1:1/"), Tier.COMPONENTS, port=1)
    report = Report(spec, ProcessCondition.STOPPED, since=0, last_exit=text)
    health = [status.ProcessHealth(report, text or "ended")]
    status._print_table(console, StateFolder(Path("state")), "Failed", text, health)


@pytest.mark.parametrize("verb", PLUGIN.entries)
def test_guard_is_on_in_every_verb(verb: str) -> None:
    """As a process: what argparse says of its own accord quotes the argument."""
    attack = "\x1b[2J\x9b1m\u202e\rx"
    done = subprocess.run(
        [str(SCRIPTS / "kubectl-chaingraph"), verb, attack, attack, f"--{attack}"], capture_output=True, check=False
    )
    assert done.returncode == 2
    said = done.stderr.decode()
    assert "\\u001b[2J" in said or "x1b" in said
    assert harmless(said)


FAKE_KUBECTL = """\
#!/usr/bin/env python3
import json, os, pathlib, sys
item = json.loads(pathlib.Path(os.environ["ITEM"]).read_text())
if "missing" in sys.argv:
    sys.exit("Error from server (Forbidden): " + item["status"]["error"]["message"])
found = {"kind": "List", "items": [item]} if "x" not in sys.argv else item
json.dump(found, sys.stdout)
"""


@pytest.fixture
def looking(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[bytes]]:
    """Runs a verb against a kubectl that answers with what 22-escape.yaml says."""
    kubectl = tmp_path / "kubectl"
    kubectl.write_text(FAKE_KUBECTL)
    kubectl.chmod(0o755)
    item = tmp_path / "item.json"
    content = execution("".join(ATTACKS[:-1]).replace("\ud800", "").replace("\udfff", ""), "Failed").item
    content["metadata"]["uid"] = "u"
    item.write_text(json.dumps(content))
    environment = os.environ | {"KUBECTL": str(kubectl), "ITEM": str(item)}

    def run(*arguments: str) -> subprocess.CompletedProcess[bytes]:
        command = [str(SCRIPTS / "kubectl-chaingraph"), *arguments]
        return subprocess.run(command, env=environment, capture_output=True, timeout=60, check=False)

    return run


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("get",), 0),
        (("get", "-o", "wide"), 0),
        (("get", "x"), 0),
        (("wait", "x", "--for", "completed"), 1),
        (("breakpoints", "list", "x"), 0),
        (("retry", "missing"), 5),
    ],
)
def test_verbs_print_hostile_objects_harmlessly(
    looking: Callable[..., subprocess.CompletedProcess[bytes]], arguments: tuple[str, ...], code: int
) -> None:
    done = looking(*arguments)
    assert done.returncode == code, done.stderr
    printed = (done.stdout + done.stderr).decode()
    assert harmless(printed)
    assert "\\u001b" in printed or arguments == ("get",)


def test_raw_streams_are_used_for_our_own_codes_only() -> None:
    """Whoever goes around the guard is listed here, and makes its texts printable first."""
    users = {
        path.stem
        for path in (ROOT / "cli" / "chaingraph_cli").rglob("*.py")
        if any(word in path.read_text() for word in ("raw(sys.", "sys.__std", "stdout.buffer", "Console("))
    }
    assert users == {"escapes", "output", "styled", "progress", "tree_watch", "create"}


ESCAPES: Final = """
apiVersion: chaingraph.dev/v1alpha1
kind: Execution
metadata: {name: t22}
spec:
  flow:
    outputs: [{name: out, from: say.message}]
    nodes:
      - id: say
        type: DebugLog
        inputs: {message: "\\e[2J\\e[3J\\e[1;1H\\e[m spoofed \\u009b2J \\u202e\\e[1;0m. Done\\rXX\\a"}
---
apiVersion: chaingraph.dev/v1alpha1
kind: Execution
metadata: {name: t22-fail}
spec:
  flow:
    nodes:
      - id: f
        type: Fail
        inputs: {message: "\\e[2J\\e[1;1Hspoofed\\e]0;title\\a\\nexecution.chaingraph.dev/t22 completed"}
---
apiVersion: chaingraph.dev/v1alpha1
kind: Execution
metadata: {name: t22-stop}
spec:
  paused: true
  flow: {nodes: [{id: a, type: Text, inputs: {value: x}}]}
"""
"""22-escape.yaml of the report, with C1, a mark of direction and a forged line added."""


@pytest.mark.integration
def test_escapes_of_a_real_run_reach_no_terminal(plugin: Plugin, system: System, gateway: GatewayProcess) -> None:
    plugin.kubectl("apply", "-f", "-", input=ESCAPES)
    waits = plugin("wait", "t22", "t22-fail", "--timeout", "60s")
    assert waits.returncode == 0, waits.stderr
    assert len(waits.stdout.splitlines()) == 2, "a message makes no line of its own"
    stopped = plugin("stop", "t22-stop", "--reason", "\x1b[2J\x9b1mspoofed\u202e\r", "--wait")
    assert stopped.returncode == 0, stopped.stderr
    printed = {"wait": waits, "stop": stopped}
    for name in ("t22", "t22-fail", "t22-stop"):
        for verb in ("get", "nodes", "events", "logs", "tree"):
            printed[f"{verb} {name}"] = plugin(verb, name)
    for form in ("table", "wide"):
        printed[f"get -o {form}"] = plugin("get", "-o", form)
    for what, done in printed.items():
        assert done.returncode == 0, f"{what}: {done.stderr}"
        assert harmless(done.stdout + done.stderr), what
    for what in ("wait", "stop", "get t22", "nodes t22", "logs t22", "events t22-fail", "get t22-fail"):
        assert "\\u001b[2J" in printed[what].stdout, what
    outputs = json.loads(plugin("get", "t22", "-o", "json").stdout)["status"]["outputs"]
    message = "\x1b[2J\x1b[3J\x1b[1;1H\x1b[m spoofed \x9b2J \u202e\x1b[1;0m. Done\rXX\x07"
    assert outputs == {"out": message}
    events = [json.loads(line) for line in plugin("events", "t22", "-o", "json").stdout.splitlines()]
    assert message in [each["data"].get("log") for each in events]
