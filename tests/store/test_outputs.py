"""Which outputs a row and its details show, and how one of them is read, whatever their names and sizes are."""

from __future__ import annotations

import json
import random
from typing import Any

from chaingraph_store import executions
from chaingraph_store.ledger import Connection, Ledger
from chaingraph_store.reads import details, large_values
from fixtures.ledger.new_executions import create

_ROOM = 16 * 1024
_SIZES = (0, 10, 1000, 8000, _ROOM - 100, _ROOM, 100_000)


async def test_small_outputs_are_shown_beside_large_ones(ledger: Ledger) -> None:
    new = await create(ledger)
    rows = {"rows": "x" * 100_000, "len": 2**70, "log": "y" * 20_000, "ok": None}
    async with ledger.connection() as connection:
        await _write(connection, new.id, rows)
        row = await executions.by_id(connection, new.id)
        found = await details.of_execution(connection, new.id, inline_bytes=_ROOM)
        assert row is not None
        assert found is not None
        assert found.outputs is not None
        assert row.outputs == json.loads(found.outputs) == {"len": 2**70, "ok": None}
        assert list(row.omitted_outputs.items()) == [("rows", 100_002), ("log", 20_002)]
        assert found.omitted_outputs == row.omitted_outputs
        for key, value in rows.items():
            piece = await large_values.piece(connection, "output", new.id, key, offset=0, length=1_000_000)
            assert piece is not None
            assert json.loads(piece.content) == value
        assert await large_values.piece(connection, "output", new.id, "none", offset=0, length=10) is None


async def test_outputs_are_cut_by_their_sizes_alone(ledger: Ledger) -> None:
    new = await create(ledger)
    async with ledger.connection() as connection:
        for seed in range(30):
            values = _drawn(seed)
            await _write(connection, new.id, values)
            row = await executions.by_id(connection, new.id)
            assert row is not None
            assert row.outputs is not None
            assert {**row.outputs, **row.omitted_outputs}.keys() == values.keys()
            assert all(values[name] == value for name, value in row.outputs.items())
            assert [each for each in values if each in row.outputs] == list(row.outputs), "in the order of the flow"
            assert len(json.dumps(row.outputs, ensure_ascii=False, separators=(",", ":")).encode()) <= _ROOM
            longest = max((_size(value) for value in row.outputs.values()), default=0)
            assert all(size >= longest for size in row.omitted_outputs.values()), "the small ones are shown"


def _drawn(seed: int) -> dict[str, Any]:
    chance = random.Random(seed)
    names = chance.sample(["a", "b", "rows", "é", "a b", 'q"', "\\", "long-name"], chance.randint(0, 8))
    return {name: chance.choice(["é" * (chance.choice(_SIZES) // 2), chance.randint(-9, 9), None]) for name in names}


def _size(value: Any) -> int:
    return len(json.dumps(value, ensure_ascii=False).encode())


async def _write(connection: Connection, execution: str, values: dict[str, Any]) -> None:
    text = json.dumps(values, ensure_ascii=False)
    await connection.execute("UPDATE chaingraph.executions SET outputs = %s WHERE id = %s", (text, execution))
