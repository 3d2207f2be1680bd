from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.domain.query.filters import (
    AllOf,
    AnyOf,
    Comparison,
    Filter,
    MetadataContainedBy,
    MetadataContains,
    NoneOf,
    Operator,
    Phrase,
    split,
)
from gateway.domain.query.json_filter import MAX_COMPARISONS, compile_filter
from shared.errors import AppError, Status


def equal(field: str, value: Any) -> Comparison:
    return Comparison(field, Operator.EQUAL, (value,))


def present(key: str) -> Comparison:
    return Comparison(f"metadata.{key}", Operator.EXISTS)


@pytest.mark.parametrize(
    ("source", "compiled"),
    [
        ({}, None),
        ({"type": "pdf"}, equal("type", "pdf")),
        ({"type": {"$eq": "pdf"}}, equal("type", "pdf")),
        ({"type": {"$ne": "pdf"}}, NoneOf(equal("type", "pdf"))),
        ({"outdated": False}, Comparison("outdated", Operator.EQUAL, (False,))),
        ({"author": {"$in": ["ann", "bo"]}}, Comparison("author", Operator.IN, ("ann", "bo"))),
        ({"author": {"$nin": ["ann"]}}, NoneOf(Comparison("author", Operator.IN, ("ann",)))),
        ({"type": "pdf", "author": "ann"}, AllOf((equal("type", "pdf"), equal("author", "ann")))),
        ({"$and": [{"type": "pdf"}, {"author": "ann"}]}, AllOf((equal("type", "pdf"), equal("author", "ann")))),
        ({"$or": [{"type": "pdf"}, {"$not": {"author": "ann"}}]}, AnyOf((equal("type", "pdf"), NoneOf(equal("author", "ann"))))),
        ({"metadata.team": {"$in": ["a", 1, True]}}, Comparison("metadata.team", Operator.IN, ("a", 1, True))),
        ({"metadata.year": {"$gte": 2020, "$lt": 2024}}, AllOf((
            Comparison("metadata.year", Operator.GREATER_OR_EQUAL, (2020,)), Comparison("metadata.year", Operator.LESS, (2024,)),
        ))),
        ({"type": "PDF", "lang": "FR"}, AllOf((equal("type", "pdf"), equal("language", "fr")))),
        ({"created_at": {"$lt": "2024-01-01T00:00:00Z"}}, Comparison("create_time", Operator.LESS, ("2024-01-01T00:00:00Z",))),
        ({"$phrase": "Annual  LEAVE!"}, Phrase(("annual", "leave"))),
        ({"metadata": {"$contains": {"team": "a", "year": 1}}}, AllOf((equal("metadata.team", "a"), equal("metadata.year", 1)))),
        ({"metadata": {"$contains": {"tags": ["a"]}}}, MetadataContains({"tags": ["a"]})),
        ({"metadata": {"$contains": {"team": "a", "x": None}}}, AllOf((equal("metadata.team", "a"), MetadataContains({"x": None})))),
        ({"metadata": {"$contains": {}}}, MetadataContains({})),
        ({"metadata": {"$contained_by": {"team": "a"}}}, MetadataContainedBy({"team": "a"})),
        ({"metadata": {"$has_key": "team"}}, Comparison("metadata.team", Operator.EXISTS)),
        ({"metadata": {"$has_keys": ["a", "b"]}}, AllOf((present("a"), present("b")))),
        ({"metadata": {"$has_any_keys": ["a", "b"]}}, AnyOf((present("a"), present("b")))),
        ({"metadata.team": {"$exists": True}}, Comparison("metadata.team", Operator.EXISTS)),
        ({"metadata.team": {"$exists": False}}, NoneOf(Comparison("metadata.team", Operator.EXISTS))),
    ],
)  # fmt: skip
def test_a_filter_compiles_to_the_condition_that_it_states(source: dict[str, Any], compiled: Filter | None) -> None:
    assert compile_filter(source) == compiled


@pytest.mark.parametrize(
    ("operator", "expected"),
    [
        ("$lt", Comparison("update_time", Operator.LESS, ("2024-01-31T00:00:00Z",))),
        ("$lte", Comparison("update_time", Operator.LESS, ("2024-02-01T00:00:00Z",))),
        ("$gt", Comparison("update_time", Operator.GREATER_OR_EQUAL, ("2024-02-01T00:00:00Z",))),
        ("$gte", Comparison("update_time", Operator.GREATER_OR_EQUAL, ("2024-01-31T00:00:00Z",))),
    ],
)
def test_a_date_stands_for_the_whole_day(operator: str, expected: Filter) -> None:
    assert compile_filter({"update_time": {operator: "2024-01-31"}}) == expected


def test_a_document_of_a_day_is_found_by_equality_with_the_day() -> None:
    within = AllOf((
        Comparison("create_time", Operator.GREATER_OR_EQUAL, ("2024-12-31T00:00:00Z",)),
        Comparison("create_time", Operator.LESS, ("2025-01-01T00:00:00Z",)),
    ))  # fmt: skip
    assert compile_filter({"create_time": "2024-12-31"}) == within
    assert compile_filter({"create_time": {"$in": ["2024-12-31"]}}) == within


@pytest.mark.parametrize(
    ("period", "first", "after"),
    [
        ("2024", "2024-01-01", "2025-01-01"),
        ("2024-02", "2024-02-01", "2024-03-01"),
        ("2024-12", "2024-12-01", "2025-01-01"),
        ("2024.02.29", "2024-02-29", "2024-03-01"),
        ("2024/12/31", "2024-12-31", "2025-01-01"),
    ],
)
def test_a_month_or_a_year_stands_for_all_of_it(period: str, first: str, after: str) -> None:
    assert compile_filter({"create_time": period}) == compile_filter({"create_time": {"$gte": first, "$lt": after}})
    assert compile_filter({"create_time": {"$gt": period}}) == compile_filter({"create_time": {"$gte": after}})


def test_what_the_index_cannot_decide_is_parted_from_what_it_can() -> None:
    whole = compile_filter({"$and": [{"type": "pdf", "$phrase": "a b"}, {"$not": {"$phrase": "c"}}], "metadata": {"$contained_by": {}}})
    in_index, on_passages = split(whole)
    assert in_index == equal("type", "pdf")
    assert on_passages == AllOf((Phrase(("a", "b")), NoneOf(Phrase(("c",))), MetadataContainedBy({})))
    assert split(None) == (None, None)
    assert split(equal("type", "pdf")) == (equal("type", "pdf"), None)
    assert split(Phrase(("a",))) == (None, Phrase(("a",)))


def test_a_time_is_compared_in_utc() -> None:
    assert compile_filter({"update_time": {"$lte": "2024-01-31T12:00:00+02:00"}}) == Comparison(
        "update_time", Operator.LESS_OR_EQUAL, ("2024-01-31T10:00:00Z",)
    )


@pytest.mark.parametrize(
    ("source", "reason", "field", "words"),
    [
        ({"typ": "pdf"}, "UNKNOWN_FILTER_FIELD", "filter.typ", "'type'"),
        ({"metadata": {"$contain": {}}}, "UNKNOWN_FILTER_OPERATOR", "filter.metadata.$contain", "'$contains'"),
        ({"metadata": {"$contains": []}}, "FILTER_INVALID", "filter.metadata.$contains", "object"),
        ({"metadata": {"$has_keys": []}}, "FILTER_INVALID", "filter.metadata.$has_keys", "keys"),
        ({"metadata": {"$has_key": 3}}, "FILTER_INVALID", "filter.metadata.$has_key", "keys"),
        ({"metadata": {"$contained_by": {"a": "x" * 10_000}}}, "FILTER_TOO_LARGE", "filter.metadata.$contained_by", "10000"),
        ({"$phrase": "..."}, "FILTER_INVALID", "filter.$phrase", "word"),
        ({"$phrase": ["a"]}, "FILTER_INVALID", "filter.$phrase", "word"),
        ({"$or": [{"$phrase": "a"}, {"type": "pdf"}]}, "FILTER_INVALID", "filter.$or", "decided apart"),
        ({"$not": {"$phrase": "a", "type": "pdf"}}, "FILTER_INVALID", "filter.$not", "decided apart"),
        ({"create_time": "2024-13"}, "FILTER_INVALID", "filter.create_time", "no day, month or year"),
        ({"metadata": {"team": "a"}}, "UNKNOWN_FILTER_FIELD", "filter.metadata", "'metadata.<key>'"),
        ({"access_set_id": 1}, "UNKNOWN_FILTER_FIELD", "filter.access_set_id", "nearest"),
        ({"$an": []}, "UNKNOWN_FILTER_OPERATOR", "filter.$an", "'$and'"),
        ({"type": {"$equals": "pdf"}}, "UNKNOWN_FILTER_OPERATOR", "filter.type.$equals", "'$eq'"),
        ({"$and": [{"type": "pdf"}, {"typo": 1}]}, "UNKNOWN_FILTER_FIELD", "filter.$and[1].typo", "'type'"),
        ({"type": 7}, "FILTER_INVALID", "filter.type", "a string"),
        ({"type": None}, "FILTER_INVALID", "filter.type", "a string"),
        ({"type": ["pdf"]}, "FILTER_INVALID", "filter.type", "a string"),
        ({"type": {}}, "FILTER_INVALID", "filter.type", "something"),
        ({"type": {"$lt": "pdf"}}, "FILTER_INVALID", "filter.type.$lt", "order"),
        ({"type": {"$in": []}}, "FILTER_INVALID", "filter.type.$in", "list"),
        ({"type": {"$in": ["pdf", 3]}}, "FILTER_INVALID", "filter.type.$in[1]", "a string"),
        ({"type": {"$exists": True}}, "FILTER_INVALID", "filter.type.$exists", "metadata"),
        ({"outdated": "no"}, "FILTER_INVALID", "filter.outdated", "true or false"),
        ({"metadata.flag": {"$gt": True}}, "FILTER_INVALID", "filter.metadata.flag.$gt", "order"),
        ({"metadata.x": {"$eq": {"a": 1}}}, "FILTER_INVALID", "filter.metadata.x.$eq", "a number"),
        ({"metadata.": 1}, "FILTER_INVALID", "filter.metadata.", "key"),
        ({'metadata.a"] or 1==1 or x["': 1}, "FILTER_INVALID", None, "quotes"),
        ({"update_time": "yesterday"}, "FILTER_INVALID", "filter.update_time", "2024-01-31"),
        ({"update_time": "2024-02-30"}, "FILTER_INVALID", "filter.update_time", "no day"),
        ({"update_time": "9999-12-31"}, "FILTER_INVALID", "filter.update_time", "day"),
        ({"update_time": "2024-01-01T10:00:00"}, "FILTER_INVALID", "filter.update_time", "time zone"),
        ({"update_time": 1704067200}, "FILTER_INVALID", "filter.update_time", "a time"),
        ({"$and": []}, "FILTER_INVALID", "filter.$and", "at least one"),
        ({"$and": {}}, "FILTER_INVALID", "filter.$and", "list"),
        ({"$not": {}}, "FILTER_INVALID", "filter.$not", "at least one"),
        ({"$or": ["pdf"]}, "FILTER_INVALID", "filter.$or[0]", "object"),
        ({"author": "x" * 1001}, "FILTER_TOO_LARGE", "filter.author", "1000"),
        ({"author": {"$in": ["x"] * 501}}, "FILTER_TOO_LARGE", "filter.author.$in", "500"),
    ],
)
def test_what_is_wrong_with_a_filter_is_named_with_its_place(source: dict[str, Any], reason: str, field: str | None, words: str) -> None:
    with pytest.raises(AppError) as raised:
        compile_filter(source)
    assert (raised.value.reason, raised.value.status) == (reason, Status.INVALID_ARGUMENT)
    assert words in raised.value.message
    if field is not None:
        assert raised.value.violations[0].field == field


def test_depth_and_size_are_bounded() -> None:
    deep: dict[str, Any] = {"type": "pdf"}
    for _ in range(8):
        deep = {"$not": deep}
    wide: dict[str, Any] = {"$or": [{"type": "pdf"}] * (MAX_COMPARISONS + 1)}
    for source in (deep, wide):
        with pytest.raises(AppError) as raised:
            compile_filter(source)
        assert raised.value.reason == "FILTER_TOO_LARGE"
    assert compile_filter({"$or": [{"type": "pdf"}] * MAX_COMPARISONS}) is not None


scalars = st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | st.floats(allow_nan=False) | st.text(max_size=20)
words = [
    "$phrase",
    "metadata",
    "$contains",
    "$contained_by",
    "$has_key",
    "$has_keys",
    "$has_any_keys",
    "$and",
    "$or",
    "$not",
    "$eq",
    "$in",
    "$gte",
    "$exists",
    "type",
    "update_time",
    "metadata.a",
    "outdated",
]
names = st.sampled_from(words) | st.text(max_size=5)
values = st.recursive(scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(names, inner, max_size=4), max_leaves=20)


@given(st.dictionaries(names, values, max_size=4))
def test_no_filter_does_worse_than_a_clear_refusal(source: dict[str, Any]) -> None:
    try:
        compile_filter(source)
    except AppError as error:
        refused = (error.status, error.violations[0].field[:6])
        assert refused == (Status.INVALID_ARGUMENT, "filter")
