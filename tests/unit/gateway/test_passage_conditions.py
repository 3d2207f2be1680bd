from __future__ import annotations

from typing import Any

import pytest

from gateway.domain.passages import Passage
from gateway.domain.query.filters import AllOf, AnyOf, Comparison, Filter, MetadataContainedBy, MetadataContains, NoneOf, Operator
from gateway.domain.query.json_filter import compile_filter
from gateway.domain.query.passage_conditions import holds

TEXT = "Annual leave: 30 days.\nThe CO₂ e\u0301nergie report of ＡＢＣ isn't a draft-copy."
METADATA: dict[str, Any] = {
    "team": "people",
    "year": 2024,
    "public": True,
    "tags": ["leave", "pay"],
    "office": {"city": "Lyon", "floor": 3},
}


def passage() -> Passage:
    return Passage("p", "d", "D", "md", "", "c", "C", 0, TEXT, None, 0, 1, [], "", "", METADATA)


def condition(source: dict[str, Any]) -> Filter:
    compiled = compile_filter(source)
    assert compiled is not None
    return compiled


@pytest.mark.parametrize("phrase", ["annual leave", "LEAVE 30", "days the", "énergie report", "co2", "abc isn't", "draft", "draft copy"])
def test_a_phrase_stands_in_a_text_whatever_its_case_and_signs(phrase: str) -> None:
    assert holds(condition({"$phrase": phrase}), passage())


@pytest.mark.parametrize("phrase", ["leave annual", "annual 30", "nual", "annual lea", "day", "3", "energie"])
def test_a_phrase_is_made_of_whole_words_in_their_order(phrase: str) -> None:
    assert not holds(condition({"$phrase": phrase}), passage())


@pytest.mark.parametrize(
    ("value", "contained"),
    [
        ({}, True),
        ({"team": "people", "year": 2024}, True),
        ({"team": "legal"}, False),
        ({"team": ["people"]}, False),
        ({"tags": ["pay"]}, True),
        ({"tags": ["pay", "leave", "pay"]}, True),
        ({"tags": []}, True),
        ({"tags": ["law"]}, False),
        ({"tags": "pay"}, False),
        ({"office": {"city": "Lyon"}}, True),
        ({"office": {"city": "Lyon", "roof": None}}, False),
        ({"public": 1}, False),
        ({"year": 2024.0}, True),
        ({"missing": None}, False),
    ],
)
def test_metadata_contain_what_postgresql_says_they_contain(value: dict[str, Any], contained: bool) -> None:
    assert holds(MetadataContains(value), passage()) is contained


@pytest.mark.parametrize(
    ("value", "contained"),
    [
        (METADATA, True),
        (METADATA | {"more": 1}, True),
        (METADATA | {"tags": ["pay", "law", "leave"]}, True),
        (METADATA | {"tags": ["pay"]}, False),
        ({key: value for key, value in METADATA.items() if key != "year"}, False),
        ({}, False),
    ],
)
def test_metadata_are_contained_by_what_has_all_of_them(value: dict[str, Any], contained: bool) -> None:
    assert holds(MetadataContainedBy(value), passage()) is contained


def test_conditions_are_combined() -> None:
    here, there = condition({"$phrase": "annual leave"}), condition({"$phrase": "nowhere"})
    assert holds(AnyOf((there, here)), passage())
    assert not holds(AllOf((there, here)), passage())
    assert holds(NoneOf(there), passage())


def test_a_comparison_is_not_decided_here() -> None:
    with pytest.raises(TypeError, match="type"):
        holds(Comparison("type", Operator.EQUAL, ("pdf",)), passage())
