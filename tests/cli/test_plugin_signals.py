"""`signal`, `approve`, `reject` and `approvals`, with real kubectl on a real API server."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from fixtures.plugin.plugin import Plugin

pytestmark = pytest.mark.integration
SINCE = "2026-12-01T10:00:00Z"


def asks(node: str, prompt: str = "Deploy?", **fields: str) -> dict[str, Any]:
    return {"node": node, "kind": "Approval", "signal": node, "since": SINCE, "prompt": prompt} | fields


def waiting(*waits: dict[str, Any], **status: Any) -> dict[str, Any]:
    return {"phase": "Running", "waiting": list(waits), **status}


def judged(plugin: Plugin, name: str, command: list[str], **state: str) -> tuple[int, str, str]:
    """Runs a command that waits, and then shows what the operator decided about the newest signal."""
    running = plugin.start(*command)
    while not (sent := plugin.spec(name).get("signals")):
        assert running.poll() is None, running.communicate()
    plugin.show(name, phase="Running", signals=[{"id": sent[-1]["id"], **state}])
    out, complaint = running.communicate(timeout=60)
    return running.returncode, out, complaint


def test_signal_adds_an_entry_and_waits_for_the_operator(plugin: Plugin) -> None:
    plugin.create("order", status=waiting())
    code, out, _ = judged(plugin, "order", ["signal", "order", "paid", "--payload", '{"eur": 3}'], state="Accepted")
    assert (code, out.splitlines()) == (
        0,
        ["execution.chaingraph.dev/order signal sent", "execution.chaingraph.dev/order signal accepted"],
    )
    (entry,) = plugin.spec("order")["signals"]
    assert entry == {"id": entry["id"], "name": "paid", "payload": {"eur": 3}}


def test_refused_signal_is_an_error(plugin: Plugin) -> None:
    plugin.create("order", status=waiting())
    told = "spec.signals[0].payload: must be a number, is a string"
    code, out, _ = judged(
        plugin, "order", ["signal", "order", "paid"], state="Refused", reason="InvalidPayload", message=told
    )
    assert code == 3
    assert out.splitlines()[1] == f"execution.chaingraph.dev/order refused the signal: {told}"


def test_payload_may_come_from_a_file_and_the_id_from_the_sender(plugin: Plugin, tmp_path: Path) -> None:
    plugin.create("order", status=waiting())
    file = tmp_path / "payload.yaml"
    file.write_text("eur: 3\nitems: [a]\n")
    for id_ in ("p-1", "p-2"):
        done = plugin("signal", "order", "paid", "-f", str(file), "--id", id_, "--no-wait")
        assert (done.returncode, done.stdout) == (0, "execution.chaingraph.dev/order signal sent\n"), done.stderr
    entries = plugin.spec("order")["signals"]
    assert [each["id"] for each in entries] == ["p-1", "p-2"]
    assert entries[0]["payload"] == {"eur": 3, "items": ["a"]}
    assert plugin("signal", "order", "paid", "--payload", "not json", "--no-wait").returncode == 0
    assert plugin.spec("order")["signals"][2]["payload"] == "not json"


def test_full_list_makes_room_by_what_was_decided(plugin: Plugin) -> None:
    plugin.create("order", signals=[{"id": f"s{n}", "name": "paid"} for n in range(100)])
    plugin.show("order", phase="Running", signals=[{"id": f"s{n}", "state": "Accepted"} for n in range(99)])
    assert plugin("signal", "order", "paid", "--id", "new", "--no-wait").returncode == 0
    assert [each["id"] for each in plugin.spec("order")["signals"]] == ["s99", "new"]


def test_approve_names_the_caller_and_reject_says_why(plugin: Plugin) -> None:
    plugin.create("release", status=waiting(asks("ask")))
    me = json.loads(plugin.kubectl("auth", "whoami", "-o", "json").stdout)["status"]["userInfo"]
    command = ["approve", "release", "--answer", '{"region": "eu"}', "--comment", "fine"]
    code, out, _ = judged(plugin, "release", command, state="Accepted")
    assert (code, out.splitlines()[1]) == (0, "execution.chaingraph.dev/release approved")
    (entry,) = plugin.spec("release")["signals"]
    assert entry["name"] == "ask"
    assert entry["payload"] == {"approved": True, "answer": {"region": "eu"}, "comment": "fine"}
    assert entry["by"] == {"user": me["username"], "groups": me["groups"]}
    plugin.show("release", **waiting(asks("ask")))
    assert plugin("reject", "release", "--comment", "no", "--no-wait").returncode == 0
    assert plugin.spec("release")["signals"][1]["payload"] == {"approved": False, "comment": "no"}


def test_approve_needs_something_that_asks(plugin: Plugin) -> None:
    plugin.create("quiet", status={"phase": "Running", "currentNodes": ["load"]})
    plugin.create("two", status=waiting(asks("one"), asks("other")))
    plugin.create("ended", status={"phase": "Completed"})
    done = plugin("approve", "quiet")
    assert (done.returncode, done.stderr.splitlines()[0]) == (
        3,
        "Error: execution.chaingraph.dev/quiet asks for no approval: it is running 'load'.",
    )
    done = plugin("approve", "two")
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1] == "Asking: one, other"
    assert plugin("approve", "two", "third").returncode == 3
    assert plugin("approve", "two", "other", "--no-wait").returncode == 0
    assert plugin.spec("two")["signals"][0]["name"] == "other"
    assert plugin("signal", "ended", "paid").returncode == 3
    assert plugin("signal", "absent", "paid").returncode == 4


def test_approvals_are_listed_with_the_longest_wait_first(plugin: Plugin) -> None:
    assert plugin("approvals").stdout == "Nothing waits for an approval in this namespace.\n"
    plugin.create("late", status=waiting(asks("ask", "Ship\nit?", since="2026-12-01T11:00:00Z")))
    early = asks("ask", until="2026-12-09T00:00:00Z")
    plugin.create("early", status=waiting(early, {"node": "x", "kind": "Time", "since": SINCE}, nodes={"total": 2}))
    plugin.create("none", status=waiting())
    head, *rows = plugin("approvals").stdout.splitlines()
    assert head.split() == ["NAME", "NODE", "FLOW", "WAITING", "UNTIL", "PROMPT"]
    assert [row.split()[0] for row in rows] == ["early", "late"]
    assert "2026-12-09T00:00:00Z" in rows[0]
    found = json.loads(plugin("approvals", "-o", "json").stdout)["approvals"]
    assert [(each["execution"], each["node"], each["prompt"]) for each in found] == [
        ("early", "ask", "Deploy?"),
        ("late", "ask", "Ship\nit?"),
    ]
    assert yaml.safe_load(plugin("approvals", "-o", "yaml").stdout) == {"approvals": found}
    assert plugin("approvals", "-o", "name").stdout.split() == [
        "execution.chaingraph.dev/early",
        "execution.chaingraph.dev/late",
    ]
    detail = plugin("get", "early").stdout
    assert "Asks:         ask: Deploy?" in detail
    assert "kubectl chaingraph approve early" in detail
