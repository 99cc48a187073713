"""Select an execution's outputs up to a size limit: the smallest first, in the order of the flow. SQL."""

from __future__ import annotations

from typing import LiteralString


def shown(column: LiteralString, room: LiteralString) -> LiteralString:
    """Return an expression for the outputs that fit into this many bytes, as json; NULL without any."""
    return (
        f"CASE WHEN octet_length({column}::text) <= {room} THEN {column} WHEN {column} IS NOT NULL THEN"
        f" (SELECT coalesce(json_object_agg(key, value ORDER BY position) FILTER (WHERE fits), '{{}}')"
        f" {_measured(column, room)}) END"
    )


def omitted(column: LiteralString, room: LiteralString) -> LiteralString:
    """Return an expression for the other outputs, as a json object of names and sizes in bytes."""
    return (
        f"CASE WHEN {column} IS NULL OR octet_length({column}::text) <= {room} THEN '{{}}'"
        f" ELSE (SELECT coalesce(json_object_agg(key, octet_length(value::text) ORDER BY position)"
        f" FILTER (WHERE NOT fits), '{{}}') {_measured(column, room)}) END"
    )


def _measured(column: LiteralString, room: LiteralString) -> LiteralString:
    # 6: quotes, colon and comma around a name and its value.
    return f"""FROM (
      SELECT each.*, sum(octet_length(each.key) + octet_length(each.value::text) + 6) OVER (
        ORDER BY octet_length(each.value::text), each.position) <= {room} AS fits
      FROM json_each({column}) WITH ORDINALITY AS each (key, value, position)) measured"""  # noqa: S608 our own columns
