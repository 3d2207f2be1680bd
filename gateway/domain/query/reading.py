"""From what a caller typed, and the filter beside it, to what is looked for and what it must satisfy."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

from gateway.domain.query.filters import Filter, Place, both, check_size
from gateway.domain.query.json_filter import compile_filter
from gateway.domain.query.language import parse_query
from gateway.domain.strict_json import JsonValue


def read(query: str, field: str, filter_: Mapping[str, JsonValue] | None, *, literal: bool) -> tuple[str, Filter | None]:
    """What to look for, and what it must satisfy by the query and by the filter beside it; ``field`` is where the query stands."""
    condition = compile_filter(dict(filter_)) if filter_ else None
    if literal:
        return query, condition
    parsed = parse_query(query, field, datetime.now(UTC))
    condition = both(parsed.filter, condition)
    return parsed.text, condition and check_size(condition, Place(field, "The query with its filter"))
