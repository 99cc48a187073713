"""Groups by a prefix of a property: months out of dates."""

from __future__ import annotations

from fixtures.flows.runs import failure_of, outputs_of

DAYS = [
    {"date": "2015/01/30", "rain": 1.5},
    {"date": "2015/02/01", "rain": 2},
    {"date": "2015/01/31", "rain": 3},
    {"date": None, "rain": 4},
]


async def test_summarize_by_prefix_groups_by_month() -> None:
    outputs = await outputs_of("Summarize", items=DAYS, by="date", prefix=7, field="rain", operation="sum")
    assert outputs == {
        "rows": [
            {"key": "2015/01", "count": 2, "value": 4.5},
            {"key": "2015/02", "count": 1, "value": 2},
            {"key": None, "count": 1, "value": 4},
        ]
    }


async def test_group_by_prefix_groups_by_year() -> None:
    outputs = await outputs_of("GroupBy", items=DAYS[:3], by="date", prefix=4)
    assert outputs == {"groups": [{"key": "2015", "count": 3, "items": DAYS[:3]}]}


async def test_prefix_rejects_non_text_property() -> None:
    message = await failure_of("Summarize", items=DAYS, by="rain", prefix=1)
    assert "`prefix` needs texts, but the property 'rain' of an element is a number" in message
