"""Query parameters and headers: what is right is taken, what is wrong is named with what would be right."""

from __future__ import annotations

import base64
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chaingraph_gateway.errors import BadRequest
from chaingraph_gateway.reads import parameters
from chaingraph_gateway.reads.access import execution_id, name, namespace
from chaingraph_gateway.reads.parameters import Subscription
from chaingraph_store.ids import ExecutionId
from chaingraph_store.ids import execution_id as derived
from chaingraph_store.reads.tree import RootCursor, TreeCursor


def test_subscription_defaults_to_all_events_and_following() -> None:
    assert parameters.subscription({}, None) == Subscription(-1, resumed=False, types=None, follow=True)


def test_last_event_id_wins_over_from_index() -> None:
    wanted = parameters.subscription({"fromIndex": "3", "types": " node:failed, flow:failed", "follow": "false"}, "7")
    assert wanted == Subscription(8, resumed=True, types=frozenset({"node:failed", "flow:failed"}), follow=False)
    assert parameters.subscription({}, "-1").from_index == 0


@pytest.mark.parametrize(
    ("query", "header", "field", "value", "said"),
    [
        ({"types": "node:complete"}, None, "types", "node:complete", "did you mean 'node:completed'?"),
        ({"types": "node:failed,zzz"}, None, "types", "zzz", "available: child:completed, "),
        ({"types": ","}, None, "types", ",", "separated by commas"),
        ({"fromIndex": "-2"}, None, "fromIndex", "-2", "from -1 on"),
        ({"fromIndex": "first"}, None, "fromIndex", "first", "a whole number"),
        ({"fromIndex": "９"}, None, "fromIndex", "９", "a whole number"),
        ({"fromIndex": str(2**63)}, None, "fromIndex", str(2**63), "a whole number"),
        ({"follow": "yes"}, None, "follow", "yes", "is not a boolean; use true or false"),
        ({}, "abc", "Last-Event-ID", "abc", "a whole number"),
        ({}, "1.5", "Last-Event-ID", "1.5", "a whole number"),
    ],
)
def test_wrong_parameter_is_named_with_its_value(
    query: dict[str, str], header: str | None, field: str, value: str, said: str
) -> None:
    with pytest.raises(BadRequest) as refused:
        parameters.subscription(query, header)
    assert (refused.value.fields["field"], refused.value.fields["value"]) == (field, value)
    assert said in refused.value.message


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("fromindex", "did you mean 'fromIndex'?"),
        ("zzz", "available: 'follow', 'fromIndex', 'types'"),
        ("access_token", "send `Authorization: Bearer TOKEN`"),
        ("Authorization", "send `Authorization: Bearer TOKEN`"),
        ("x" * 9000, "unknown query parameter"),
    ],
)
def test_unknown_parameter_is_named_without_its_value(name: str, said: str) -> None:
    with pytest.raises(BadRequest) as refused:
        parameters.subscription({name: "s3cr3t"}, None)
    document = refused.value.document()
    assert (document["reason"], document["field"]) == ("BadRequest", name[:64])
    assert said in document["message"]
    assert "s3cr3t" not in str(document)
    assert len(str(document)) < 500


@pytest.mark.parametrize("text", ["0", "1001", "-1", "ten", "1e2", "", "٣", "9" * 5000, "0000010000000"])
def test_page_size_is_bounded(text: str) -> None:
    assert parameters.page_size({}) == 100
    assert parameters.page_size({"limit": "100"}, most=parameters.MAX_ROOTS) == 100
    with pytest.raises(BadRequest, match="from 1 to 1000"):
        parameters.page_size({"limit": text})
    with pytest.raises(BadRequest, match=r"from 1 to 100$"):
        parameters.page_size({"limit": "101"}, most=parameters.MAX_ROOTS)


@pytest.mark.parametrize("text", ["", "-1", "all", "1.5", "٣", "9" * 5000])
def test_depth_is_a_number_of_levels(text: str) -> None:
    assert parameters.levels({}) is None
    assert [parameters.levels({"depth": each}) for each in ("0", "2")] == [0, 2]
    with pytest.raises(BadRequest, match="a whole number from 0 on"):
        parameters.levels({"depth": text})


def test_phases_are_those_of_the_api() -> None:
    assert parameters.phases({}) is None
    assert parameters.phases({"phase": "Failed"}) == ["Failed"]
    assert parameters.phases({"phase": "Failed, Stopped,"}) == ["Failed", "Stopped"]
    with pytest.raises(BadRequest, match="did you mean 'Failed'"):
        parameters.phases({"phase": "Completed,failed"})
    with pytest.raises(BadRequest, match="separated by commas"):
        parameters.phases({"phase": " ,"})


_TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=30)


@given(st.integers(0, 100_000), _TEXTS, st.integers(-1, 100_000))
def test_a_cursor_leads_back_to_its_place_in_the_tree(depth: int, parent: str, position: int) -> None:
    place = TreeCursor(depth, parent, position)
    assert parameters.place({"cursor": parameters.cursor(place)}) == place


@given(st.datetimes(timezones=st.just(UTC)), _TEXTS)
def test_a_cursor_leads_back_to_its_place_among_the_roots(created_at: datetime, text: str) -> None:
    place = RootCursor(created_at, ExecutionId(text))
    assert parameters.root_place({"cursor": parameters.cursor(place)}) == place


def _encoded(content: str) -> str:
    return base64.urlsafe_b64encode(content.encode()).decode()


_CURSORS = [
    *("", "x", "é", *map(_encoded, ("null", "{}", "[]", "[1,2,3]", '["a"]', '[1,"a","b"]', '[true,"a",1]'))),
    *map(_encoded, ('[-2,"a",1]', '[1,"a",2147483648]', '[1,"\\u0000",1]')),
    *map(_encoded, ('["x","a"]', '["2026-11-24T00:00:00","a"]', '["2026-11-24T00:00:00+00:00","\\u0000"]')),
    _encoded('["2026-11-24T00:00:00+00:00",1]'),
]


@pytest.mark.parametrize("text", _CURSORS)
def test_cursor_rejects_other_text(text: str) -> None:
    with pytest.raises(BadRequest, match="`cursor` of the previous page"):
        parameters.place({"cursor": text})
    with pytest.raises(BadRequest, match="`cursor` of the previous page"):
        parameters.root_place({"cursor": text})


def test_cursor_of_another_path_is_rejected() -> None:
    with pytest.raises(BadRequest, match="not a cursor of this path"):
        parameters.place({"cursor": parameters.cursor(RootCursor(datetime.now(UTC), ExecutionId("a")))})
    with pytest.raises(BadRequest, match="not a cursor of this path"):
        parameters.root_place({"cursor": parameters.cursor(TreeCursor(1, "a", 1))})


@pytest.mark.parametrize("text", ["", "EX", "ex" + "A" * 24, "EX" + "A" * 25, "EX" + "1" * 24, "EX\x00" + "A" * 23])
def test_execution_id_rejects_other_text(text: str) -> None:
    assert execution_id(derived("0093f2dd-1335-4b0a-9657-fd0bf9629e9e"))
    with pytest.raises(BadRequest, match=r"status\.executionID"):
        execution_id(text)


@pytest.mark.parametrize("text", ["", "Team", "a" * 64, "team-", "a\x00", "a/b", "a\n"])
def test_namespace_rejects_invalid_text(text: str) -> None:
    assert namespace("team-1") == "team-1"
    with pytest.raises(BadRequest, match="lower-case"):
        namespace(text)


@pytest.mark.parametrize("text", ["", "A", "a" * 254, ".a", "a\n"])
def test_name_rejects_invalid_text(text: str) -> None:
    assert name("name", "nightly.2") == "nightly.2"
    with pytest.raises(BadRequest, match="lower-case"):
        name("name", text)
