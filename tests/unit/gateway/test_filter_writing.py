"""Filters as people write them; what is written is read back."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from gateway.domain.query.filters import AllOf, AnyOf, Comparison, Filter, NoneOf, Operator
from gateway.domain.query.json_filter import compile_filter
from gateway.domain.query.language import parse_query
from gateway.domain.query.writing import clauses, write
from shared.errors import AppError

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
texts = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=12) | st.sampled_from(
    ["7", "-1.5", "true", "a b", "..", "2020..2021", "7d", "OR", "a)", "x\\", '"', "word.", "http://x"]
)
scalars = texts | st.integers(-(10**6), 10**6) | st.floats(-1e6, 1e6) | st.booleans()
keys = texts.map("metadata.{}".format) | st.sampled_from(["metadata.team", "metadata.a.b-c"])
operators = st.sampled_from(["$eq", "$ne", "$lt", "$gte"])
conditions = (
    st.dictionaries(st.sampled_from(["type", "author", "connection_id", "document_id"]), texts, min_size=1, max_size=2)
    | st.dictionaries(keys, st.dictionaries(operators, scalars, min_size=1, max_size=2), min_size=1, max_size=2)
    | st.dictionaries(keys | st.just("author"), st.fixed_dictionaries({"$in": st.lists(texts, min_size=1, max_size=3)}), min_size=1)
    | st.dictionaries(keys, st.fixed_dictionaries({"$exists": st.booleans()}), min_size=1, max_size=1)
    | st.fixed_dictionaries({"create_time": st.dictionaries(operators, st.sampled_from(["2021", "2021-02-03T04:05:06Z"]), min_size=1)})
    | st.fixed_dictionaries({"outdated": st.booleans()})
)
filters = st.recursive(
    conditions,
    lambda inner: (
        st.fixed_dictionaries({"$not": inner})
        | st.fixed_dictionaries({"$or": st.lists(inner, min_size=1, max_size=3)})
        | st.fixed_dictionaries({"$and": st.lists(inner, min_size=1, max_size=3)})
    ),
    max_leaves=4,
)


def compiled(source: dict[str, Any]) -> Filter:
    filter_ = compile_filter(source)
    assert filter_ is not None
    return filter_


def meaning(filter_: Filter) -> Filter:
    """One of a single value is that value, and chains are flat."""
    match filter_:
        case AllOf(parts):
            return AllOf(flat(AllOf, parts))
        case AnyOf(parts):
            return AnyOf(flat(AnyOf, parts))
        case NoneOf(inner):
            return NoneOf(meaning(inner))
        case Comparison(field, Operator.IN, values) if len(set(values)) == 1:
            return Comparison(field, Operator.EQUAL, values[:1])
        case _:
            return filter_


def flat(kind: type[AllOf | AnyOf], parts: tuple[Filter, ...]) -> tuple[Filter, ...]:
    return tuple(inner for part in map(meaning, parts) for inner in (part.filters if isinstance(part, kind) else (part,)))


@pytest.mark.parametrize(
    ("source", "written"),
    [
        ({"type": "pdf"}, "type:pdf"),
        ({"type": {"$nin": ["pdf", "docx"]}}, "-type:(pdf docx)"),
        ({"author": "Ann Lee"}, 'author:"Ann Lee"'),
        ({"created": {"$lte": "2021"}}, "create_time<2022-01-01T00:00:00Z"),
        ({"metadata.team": "people", "outdated": False}, "metadata.team:people outdated:false"),
        ({"metadata.year": {"$in": [2024, "2024"]}}, "metadata.year:2024"),
        ({"metadata.year": 2024}, '{"metadata.year": {"$eq": 2024}}'),
        ({"metadata.year": {"$gt": 2020}}, "metadata.year>2020"),
        ({"metadata.my key": {"$exists": True}}, 'has:"my key"'),
        ({"$or": [{"type": "pdf"}, {"author": "ann", "language": "fr"}]}, "type:pdf OR (author:ann language:fr)"),
        ({"$not": {"$or": [{"type": "pdf"}, {"author": "ann"}]}}, "-(type:pdf OR author:ann)"),
        ({"$phrase": "paid Leave!"}, '"paid leave"'),
        ({"metadata": {"$contained_by": {"a": [1]}}}, '{"metadata": {"$contained_by": {"a": [1]}}}'),
    ],
)
def test_a_filter_is_written_as_the_query_language_has_it(source: dict[str, Any], written: str) -> None:
    assert write(compiled(source)) == written


@settings(suppress_health_check=list(HealthCheck), deadline=None)
@given(filters)
def test_what_is_written_is_read_back(source: dict[str, Any]) -> None:
    try:
        filter_ = compiled(source)
    except AppError:
        assume(False)  # noqa: FBT003  # Hypothesis's own word
    written = write(filter_)
    back = compile_filter(json.loads(written)) if written.startswith("{") else parse_query(f"look {written}", "query", NOON).filter
    assert back is not None
    assert meaning(back) == meaning(filter_)


def test_clauses_are_conditions_and_negations_in_the_filters_order() -> None:
    source = {"$or": [{"type": "pdf"}, {"author": "ann", "$not": {"language": "fr", "outdated": True}}], "created": {"$gte": "2021"}}
    assert [write(clause) for clause in clauses(compiled(source))] == [
        "type:pdf",
        "author:ann",
        "-(language:fr outdated:true)",
        "create_time>=2021-01-01T00:00:00Z",
    ]
    assert clauses(None) == []
