"""`kubectl chaingraph roots`: newest first, with all that is below, in pages."""

from __future__ import annotations

import json
import shlex

import pytest

from fixtures.ledger.written_log import Written
from fixtures.plugin.plugin import Plugin
from fixtures.processes.gateway import GatewayProcess

pytestmark = pytest.mark.integration


async def test_roots_are_paged_and_count_executions_below(
    gateway: GatewayProcess, plugin: Plugin, written: Written
) -> None:
    made = [await written.execution(f"orders-{number}", flow="orders") for number in range(3)]
    await written.execution("other")
    await made[1].complete(children=4)
    child = await written.execution("orders-1-0", flow="orders", parent=made[1])
    await child.complete(children=1)
    await (await written.execution("orders-1-0-0", parent=child)).fail("load")
    await made[0].fail("load")
    done = plugin("roots", "--flow", "orders", "--limit", "2")
    assert done.returncode == 0, done.stderr
    lines = [[cell.strip() for cell in line.split("  ") if cell.strip()] for line in done.stdout.splitlines()]
    assert lines[0] == ["NAME", "PHASE", "FLOW", "AGE", "DURATION", "BELOW"]
    assert [line[:3] for line in lines[1:]] == [["orders-2", "Running", "orders"], ["orders-1", "Completed", "orders"]]
    assert [line[-1] for line in lines[1:]] == ["<none>", "5: 3 pending, 1 completed, 1 failed"]
    assert done.stderr.startswith("Next page: kubectl chaingraph roots --flow=orders --limit=2 --cursor=")
    following = shlex.split(done.stderr.partition("kubectl chaingraph ")[2])
    rest = plugin.run("kubectl-chaingraph", *following)
    assert [line.split()[0] for line in rest.stdout.splitlines()] == ["NAME", "orders-0"]
    assert rest.stderr == ""
    assert plugin("roots", "--phase", "failed", "--phase", "running", "-o", "name").stdout.split() == [
        "other",
        "orders-2",
        "orders-0",
    ]
    page = json.loads(plugin("roots", "--limit", "1", "-o", "json").stdout)
    assert [each["name"] for each in page["executions"]] == ["other"]
    assert page["cursor"]
    everywhere = plugin("roots", "-A", "-o", "wide").stdout.splitlines()
    assert " ".join(everywhere[0].split()) == "NAMESPACE NAME PHASE FLOW AGE DURATION BELOW ATTEMPT ID MESSAGE"
    assert [plugin.namespace, "orders-1"] in [line.split()[:2] for line in everywhere]


def test_roots_handle_no_results_and_invalid_options(gateway: GatewayProcess, plugin: Plugin) -> None:
    assert plugin("roots").stdout == "No executions found in this namespace.\n"
    for arguments, words in (
        (("--limit", "101"), "invalid page size '101': use a number from 1 to 100"),
        (("--phase", "done"), "unknown phase 'done': use Pending, Created, "),
        (("--cursor", "x"), "The gateway answered: cursor: 'text of 1 characters' is not a cursor of this path"),
    ):
        done = plugin("roots", *arguments)
        assert done.returncode == 2
        assert words in done.stderr
