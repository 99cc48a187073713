"""However large a journal, an event or an output is, the gateway has a page of it in memory, and parses none of it."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chaingraph_gateway.reads import records
from chaingraph_store.ledger import Ledger
from chaingraph_store.reads import details, event_log
from chaingraph_store.reads.details import JournalRow
from fixtures.ledger.written_log import Written, WrittenLog
from fixtures.processes.gateway import GatewayProcess, People, RunGateway

_MEGABYTE = 1_000_000
_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=20,
)
_NAMES = st.text(st.characters(exclude_categories=["Cs"], exclude_characters='"\\'), max_size=6)
_ODD = ['"\\ud800"', '"\\u0000"', "9" * 5000, "[" * 2000 + "]" * 2000, '"\\\\"', '"\\""', "1e400", '" ,}]"']


def _around(output: str) -> str:
    """A record with this output, in JSON."""
    times = '"startedAt":1000,"finishedAt":2500'
    return f'{{{times},"outputs":{{"x":{output}}},"error":"","reason":"","attempts":1,"emissions":[]}}'


@given(st.dictionaries(_NAMES, _VALUES, max_size=6), st.sampled_from([None, 1, "\t"]), st.booleans())
@settings(max_examples=100, deadline=None)
def test_members_are_those_of_the_object(value: dict[str, Any], indent: Any, ascii_alone: bool) -> None:
    # Names of the engine's records have nothing to escape.
    names = {name: each for name, each in value.items() if json.dumps(name, ensure_ascii=False) == f'"{name}"'}
    text = json.dumps(names, indent=indent, ensure_ascii=ascii_alone).encode("utf-8", "surrogatepass")
    try:
        text.decode()
    except UnicodeDecodeError:
        return
    found = records.members(text)
    if not ascii_alone:
        assert list(found) == list(names)
    assert [json.loads(each) for each in found.values()] == list(names.values())


@given(
    st.binary(max_size=40).map(lambda rest: b"{" + rest)
    | st.sampled_from([b"", b"{", b"[]", b'"a"', b"null", b'{"a', b'{"a":'])
)
def test_what_is_no_object_ends(text: bytes) -> None:
    assert isinstance(records.members(text), dict)


@pytest.mark.parametrize("odd", _ODD)
def test_values_no_parser_takes_pass_through(odd: str) -> None:
    record = _around(odd)
    sent = records.node(JournalRow("a", 1, "completed", len(record), record, "", ""), outputs=True)
    assert b'"outputs":{"x":' + odd.encode() + b'},"emissions":[]}' in sent
    assert b'"durationSeconds":1.5' in sent


def test_large_record_tells_what_stands_around_its_outputs() -> None:
    inner = '{"error":"no","reason":"no","attempts":9,"emissions":[]}'
    record = (
        '{"nodeId":"a","outcome":"completed","startedAt":1000,"finishedAt":2500,"outputs":{"x":'
        + inner
        + '},"error":"it \\"failed\\"","reason":"R","attempts":3,"emissions":[]}'
    )
    row = JournalRow("a", 1, "completed", 9_000_000, None, record[:500], record[-5000:])
    found = json.loads(records.node(row, outputs=True))
    assert (found["error"], found["reason"], found["tries"], found["bytes"]) == ('it "failed"', "R", 3, 9_000_000)
    assert (found["durationSeconds"], found["omitted"]) == (1.5, True)
    assert "outputs" not in found


def _record(megabytes: int) -> str:
    """A record of so many megabytes that do not compress well."""
    return _around(json.dumps(os.urandom(megabytes * _MEGABYTE // 2).hex()))


def _peak(gateway: GatewayProcess, *, forget: bool = False) -> int:
    """The most memory that the process had, in bytes, since the kernel was told to forget what it had before."""
    if forget:
        Path(f"/proc/{gateway.process.pid}/clear_refs").write_text("5", encoding="ascii")
    status = Path(f"/proc/{gateway.process.pid}/status").read_text(encoding="ascii")
    return int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM"))) * 1024


@pytest.mark.integration
@pytest.mark.long
async def test_memory_is_bounded_with_a_large_journal(
    run_gateway: RunGateway, people: People, written: Written
) -> None:
    gateway = run_gateway()
    log = await written.execution()
    await written.journal(log, [(f"small-{n:03}", "completed", _small("x" * 20_000)) for n in range(300)])
    huge = _record(24)
    large = [(f"large-{number:02}", "completed", _record(2)) for number in range(20)]
    await written.journal(log, [*large, ("huge", "completed", huge)])
    path = f"/executions/{log.id}"
    await gateway.ask(f"{path}/journal", people.admin, params={"limit": "1"})
    before = _peak(gateway, forget=True)
    found = await _journal(gateway, people, log, outputs="true", limit="1000")
    assert [each["node"] for each in found] == sorted(each["node"] for each in found)
    assert len(found) == 321
    assert [each["node"] for each in found if each.get("omitted")] == ["huge", *(f"large-{n:02}" for n in range(20))]
    assert next(each["bytes"] for each in found if each["node"] == "huge") == len(huge)
    whole = await gateway.ask(f"{path}/nodes/huge", people.admin)
    assert int(whole.headers["Content-Length"]) == len(whole.content)
    head = b'{"executionID":"%s","node":"huge","attempt":1,"record":' % log.id.encode()
    assert whole.content == head + huge.encode() + b"}\n"
    grown = _peak(gateway) - before
    print(f"grown by {grown} bytes")
    assert grown < 40 * _MEGABYTE


def _small(text: str) -> str:
    return _around(json.dumps(text))


async def _journal(gateway: GatewayProcess, people: People, log: WrittenLog, **params: str) -> list[dict[str, Any]]:
    """All pages of a journal, none of which is larger than it may be."""
    found: list[dict[str, Any]] = []
    while True:
        answer = await gateway.ask(f"/executions/{log.id}/journal", people.admin, params=params)
        assert len(answer.content) < 1.5 * _MEGABYTE
        found += answer.json()["nodes"]
        if answer.json()["cursor"] is None:
            return found
        params["cursor"] = answer.json()["cursor"]


@pytest.mark.integration
async def test_large_events_and_outputs_are_fetched_alone(
    run_gateway: RunGateway, people: People, written: Written
) -> None:
    gateway = run_gateway()
    log = await written.execution()
    await log.append("node:completed", text="y" * 2 * _MEGABYTE)
    await log.append("node:started")
    async with log.ledger.transaction() as connection:
        await connection.execute(
            "UPDATE chaingraph.executions SET outputs = json_build_object('text', repeat('z', %s)) WHERE id = %s",
            (3 * _MEGABYTE, log.id),
        )
    await log.complete()
    path = f"/executions/{log.id}"
    events = await gateway.all(f"{path}/events", people.admin)
    assert [each.id for each in events] == ["-1", "0", "1", "2", "2"]
    assert (events[1].data["data"], events[2].data["data"]) == (None, {"text": ""})
    assert events[1].data["dataBytes"] > 2 * _MEGABYTE
    event = (await gateway.ask(f"{path}/events/0", people.admin)).json()
    assert (event["index"], event["data"]) == (0, {"text": "y" * 2 * _MEGABYTE})
    shown = (await gateway.ask(path, people.admin)).json()
    assert (shown["outputs"], shown["omittedOutputs"]) == ({}, [{"name": "text", "bytes": 3 * _MEGABYTE + 2}])
    assert shown["outputsBytes"] > 3 * _MEGABYTE
    outputs = (await gateway.ask(f"{path}/outputs", people.admin)).json()
    assert outputs["outputs"] == {"text": "z" * 3 * _MEGABYTE}
    one = (await gateway.ask(f"{path}/outputs/text", people.admin)).json()
    assert one == {"executionID": log.id, "output": "text", "attempt": 1, "value": "z" * 3 * _MEGABYTE}
    for nothing in (
        "outputs/none",
        "outputs/%00",
        "outputs/%ED%A0%80",
        "nodes/none",
        "nodes/%00",
        "nodes/%ED%A0%80",
        "events/99",
    ):
        assert (await gateway.ask(f"{path}/{nothing}", people.admin)).status_code == 404, nothing
    assert (await gateway.ask(f"{path}/events/first", people.admin)).status_code == 400


@pytest.mark.integration
@pytest.mark.parametrize("odd", _ODD)
async def test_one_odd_record_spoils_no_page(ledger: Ledger, odd: str) -> None:
    written = Written(ledger, "team")
    log = await written.execution()
    record = (
        f'{{"startedAt":1,"finishedAt":2,"outputs":{{"x":{odd}}},"error":"","reason":"","attempts":1,"emissions":[]}}'
    )
    await written.journal(log, [("a", "completed", record), ("b", "completed", "[]"), ("c", "completed", _small("x"))])
    async with ledger.connection() as connection:
        page = await details.journal(connection, log.id, after="", limit=10, inline_bytes=65_536, page_bytes=_MEGABYTE)
    nodes = [records.node(row, outputs=True) for row in page.rows]
    assert odd.encode() in nodes[0]
    assert [json.loads(each)["node"] for each in nodes[1:]] == ["b", "c"]


@pytest.mark.integration
async def test_pages_end_by_bytes_and_go_on(ledger: Ledger) -> None:
    written = Written(ledger, "team")
    log = await written.execution()
    await written.journal(log, [(f"n{n}", "completed", _small("x" * 1000 * n)) for n in range(8)])
    seen: list[tuple[str, bool]] = []
    pages = 0
    while True:
        async with ledger.connection() as connection:
            page = await details.journal(
                connection, log.id, after=seen[-1][0] if seen else "", limit=3, inline_bytes=5000, page_bytes=3000
            )
        pages += 1
        assert 1 <= len(page.rows) <= 3
        seen += [(row.node_id, row.record is None) for row in page.rows]
        if not page.more:
            break
    assert seen == [(f"n{n}", n > 4) for n in range(8)]
    assert pages > 3
    async with ledger.connection() as connection:
        empty = await details.journal(connection, log.id, after="n7", limit=3, inline_bytes=5000, page_bytes=3000)
        assert (empty.rows, empty.more) == ([], False)
        for _ in range(3):
            await log.append("node:completed", text="x" * 6000)
        first = await event_log.page(connection, log.id, from_index=0, inline_bytes=5000, max_bytes=3000)
    assert first is not None
    assert [(each.data, each.size > 6000) for each in first.events] == [(None, True)] * 3
