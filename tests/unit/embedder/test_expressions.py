"""Expressions are read back with the parser of Milvus Lite, so what is asserted is what a store understands."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from milvus_lite.search.filter import parse_expr

from embedder.adapters.milvus import expressions
from embedder.domain.filters import AllOf, AnyOf, Comparison, NoneOf, Operator, Scope, comparison

anything = st.text(max_size=60) | st.sampled_from(
    ['" or organisation_id != "', "\\", '\\" or true or "', "\n", "'", "{x}", "$meta", "a/b", "%"]
)


def conjuncts(parsed: Any) -> list[Any]:
    """The operands of a chain of ANDs."""
    if type(parsed).__name__ == "And":
        return [part for operand in parsed.operands for part in conjuncts(operand)]
    return [parsed]


@given(anything)
def test_any_text_is_read_back_as_itself(text: str) -> None:
    parsed = parse_expr(f"type == {expressions.literal(text)}")
    assert parsed.right.value == text


@given(anything, st.lists(anything, max_size=3), anything, anything)
def test_every_search_is_bound_to_the_organisation_whatever_the_values(
    organisation_id: str, collections: list[str], value: str, key: str
) -> None:
    condition = AnyOf(
        (
            Comparison("type", Operator.EQUAL, (value,)),
            NoneOf(AllOf((Comparison(f"metadata.{key}", Operator.IN, (value, 3, True)),))),
        )
    )
    parsed = parse_expr(expressions.of_scope(organisation_id, Scope(tuple(collections), (7,), condition)))
    first, *rest = conjuncts(parsed)
    assert (first.left.name, first.op, first.right.value) == ("organisation_id", "==", organisation_id)
    assert len(rest) == (3 if collections else 2)


@given(anything, st.lists(anything, min_size=1, max_size=4), anything)
def test_every_deletion_is_bound_to_organisation_and_documents(organisation_id: str, document_ids: list[str], after: str) -> None:
    first, second, third = conjuncts(parse_expr(expressions.of_documents(organisation_id, document_ids, after)))
    assert (first.left.name, first.right.value) == ("organisation_id", organisation_id)
    assert (second.field.name, [each.value for each in second.values.elements]) == ("document_id", document_ids)
    assert (third.left.name, third.op, third.right.value) == ("row_key", ">", after)


@given(anything, anything, anything)
def test_what_follows_an_id_is_the_organisations_own_and_all_of_it(organisation_id: str, after: str, passage_id: str) -> None:
    first, lower, upper = conjuncts(parse_expr(expressions.following(organisation_id, after)))
    assert (first.left.name, first.right.value) == ("organisation_id", organisation_id)
    key = expressions.row_key(organisation_id, passage_id)
    assert (lower.right.value < key) == (after < passage_id)
    assert key < upper.right.value


@given(anything, anything, anything)
def test_behind_an_organisation_there_are_none_of_its_rows(organisation_id: str, passage_id: str, other: str) -> None:
    behind = parse_expr(expressions.beyond(organisation_id)).right.value
    assert expressions.row_key(organisation_id, passage_id) < behind
    key = expressions.row_key(other, passage_id)
    assert other == organisation_id or (key >= behind) == (key > expressions.row_key(organisation_id, ""))


@given(anything, anything)
def test_a_row_key_gives_its_organisation_back(organisation_id: str, passage_id: str) -> None:
    assert expressions.organisation_of(expressions.row_key(organisation_id, passage_id)) == organisation_id


@given(st.tuples(anything, anything), st.tuples(anything, anything))
def test_two_organisations_never_share_a_row_key(one: tuple[str, str], other: tuple[str, str]) -> None:
    assert (expressions.row_key(*one) == expressions.row_key(*other)) == (one == other)


@given(anything, anything)
def test_a_row_key_gives_its_passage_id_back(organisation_id: str, passage_id: str) -> None:
    assert expressions.passage_id(expressions.row_key(organisation_id, passage_id)) == passage_id


@given(anything, st.lists(anything, min_size=1, max_size=4))
def test_rows_are_asked_for_by_keys_of_the_organisation_alone(organisation_id: str, passage_ids: list[str]) -> None:
    parsed = parse_expr(expressions.of_passages(organisation_id, passage_ids))
    assert parsed.field.name == "row_key"
    assert [each.value for each in parsed.values.elements] == [expressions.row_key(organisation_id, each) for each in passage_ids]


@given(st.floats(0, 1), st.floats(0, 1, exclude_max=True))
def test_a_sample_is_a_slice_of_the_organisations_own_keys(share: float, start: float) -> None:
    first, *bounds = conjuncts(parse_expr(expressions.of_slice("org", share, start=start)))
    assert first.right.value == "org"
    assert all(bound.right.value.startswith("org/") and len(bound.right.value) == len("org/") + 8 for bound in bounds)
    assert len(bounds) == (0 if share >= 1 else 2)


def test_a_passage_without_a_time_is_neither_before_nor_after_one() -> None:
    expression = expressions.condition(comparison("update_time", Operator.LESS, ["2026-01-01T00:00:00Z"]))
    assert expression == f"update_time > {expressions.NO_TIME} and update_time < 1767225600000000"


@pytest.mark.parametrize(
    ("condition", "expression"),
    [
        (comparison("outdated", Operator.EQUAL, [True]), "outdated == true"),
        (comparison("access_set_id", Operator.IN, [1.0, 2.0]), "access_set_id in [1, 2]"),
        (comparison("metadata.year", Operator.GREATER_OR_EQUAL, [2020.5]), 'metadata["year"] >= 2020.5'),
        (comparison("metadata.a b", Operator.EXISTS, []), 'exists metadata["a b"]'),
    ],
)
def test_conditions_are_written_as_milvus_reads_them(condition: Comparison, expression: str) -> None:
    assert expressions.condition(condition) == expression
    parse_expr(expression)
