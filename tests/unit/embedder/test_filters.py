from __future__ import annotations

import pytest

from embedder.domain.filters import FIELDS, AllOf, AnyOf, Filter, NoneOf, Operator, check_size, comparison
from shared.errors import AppError, Status

TYPE_IS_PDF = comparison("type", Operator.EQUAL, ["pdf"])


def refusal(field: str, operator: Operator, *values: object) -> AppError:
    with pytest.raises(AppError) as refused:
        comparison(field, operator, values)
    assert refused.value.status is Status.INVALID_ARGUMENT
    return refused.value


@pytest.mark.parametrize(
    ("misspelt", "nearest"),
    [("colection_id", "collection_id"), ("update_tme", "update_time"), ("Type", "type"), ("metadata", "metadata.<key>"), ("", "type")],
)
def test_an_unknown_field_is_refused_with_the_nearest_one(misspelt: str, nearest: str) -> None:
    error = refusal(misspelt, Operator.EQUAL, "x")
    assert error.reason == "UNKNOWN_FILTER_FIELD"
    assert error.metadata["nearest"] in {nearest, *FIELDS}
    if misspelt:
        assert error.metadata["nearest"] == nearest


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("type", 3.0),
        ("type", True),
        ("type", None),
        ("access_set_id", "3"),
        ("access_set_id", 3.5),
        ("access_set_id", True),
        ("access_set_id", float("nan")),
        ("outdated", "true"),
        ("outdated", 1.0),
        ("update_time", 12345.0),
        ("update_time", "yesterday"),
        ("update_time", "2026-01-31T00:00:00"),
        ("metadata.year", None),
        ("metadata.year", float("inf")),
    ],
)
def test_a_value_of_the_wrong_type_is_refused_with_what_the_field_takes(field: str, value: object) -> None:
    error = refusal(field, Operator.EQUAL, value)
    assert error.reason == "WRONG_FILTER_VALUE"
    assert error.metadata == {"field": field}


def test_a_time_is_read_to_the_microsecond_in_any_zone() -> None:
    early = comparison("update_time", Operator.LESS, ["2026-01-31T01:00:00.000001+01:00"])
    assert early.values == (1769817600000001,)
    assert comparison("update_time", Operator.LESS, ["2026-01-31T00:00:00.000001Z"]) == early


def test_whole_numbers_stay_whole_and_fractions_stay_fractions() -> None:
    values = comparison("metadata.year", Operator.IN, [2026.0, 0.5, True, "x"]).values
    assert values == (2026, 0.5, True, "x")
    assert [type(value) for value in values] == [int, float, bool, str]


@pytest.mark.parametrize(
    ("field", "operator", "values"),
    [
        ("type", Operator.EQUAL, []),
        ("type", Operator.EQUAL, ["a", "b"]),
        ("type", Operator.IN, []),
        ("type", Operator.IN, ["x"] * 1001),
        ("type", Operator.EXISTS, []),
        ("metadata.x", Operator.EXISTS, ["x"]),
        ("outdated", Operator.LESS, [True]),
        ("type", Operator.EQUAL, ["x" * 3000]),
    ],
)
def test_a_comparison_that_makes_no_sense_is_refused(field: str, operator: Operator, values: list[object]) -> None:
    assert refusal(field, operator, *values).reason == "MALFORMED_FILTER"


def test_a_filter_of_ordinary_size_is_accepted() -> None:
    condition = AllOf((AnyOf((TYPE_IS_PDF,) * 20), NoneOf(TYPE_IS_PDF)))
    assert check_size(condition) is condition


def nested(depth: int) -> Filter:
    condition: Filter = TYPE_IS_PDF
    for _ in range(depth):
        condition = NoneOf(condition)
    return condition


@pytest.mark.parametrize("condition", [nested(40), AnyOf((TYPE_IS_PDF,) * 300)])
def test_a_filter_that_is_too_deep_or_too_long_is_refused(condition: Filter) -> None:
    with pytest.raises(AppError) as refused:
        check_size(condition)
    assert refused.value.reason == "MALFORMED_FILTER"
