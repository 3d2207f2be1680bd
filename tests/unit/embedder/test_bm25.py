from __future__ import annotations

import math

import pytest

from embedder.domain.analysis.query import Query
from embedder.domain.bm25 import K1, B, Bm25, TermStatistics

PASSAGES = ["pump valv pump", "valv", "filter chang hous", "rule"]


def query(*words: tuple[str, ...]) -> Query:
    return Query(words, len(words))


def test_the_score_is_the_textbooks() -> None:
    statistics = TermStatistics(PASSAGES)
    idf = math.log((4 - 1 + 0.5) / (1 + 0.5) + 1)
    expected = idf * 2 * (K1 + 1) / (2 + K1 * (1 - B + B * 3 / 2))
    assert Bm25(query(("pump",)), statistics).score(PASSAGES[0]) == pytest.approx(expected)


def test_a_passage_without_the_querys_words_scores_nothing() -> None:
    assert Bm25(query(("pump",)), TermStatistics(PASSAGES)).score("rule") == 0


def test_a_rare_word_weighs_more_than_a_common_one() -> None:
    statistics = TermStatistics(PASSAGES)
    assert statistics.weight(("pump",)) > statistics.weight(("valv",)) > 0


def test_alternatives_of_a_word_count_as_one_word() -> None:
    statistics = TermStatistics(["rule", "rul", "x", "y"])
    both = Bm25(query(("rule", "rul")), statistics)
    assert both.score("rule") == pytest.approx(both.score("rul"))
    assert statistics.weight(("rule", "rul")) < statistics.weight(("rule",))


def test_a_word_said_twice_in_the_query_counts_twice() -> None:
    statistics = TermStatistics(PASSAGES)
    once, twice = Bm25(query(("pump",)), statistics), Bm25(query(("pump",), ("pump",)), statistics)
    assert twice.score(PASSAGES[0]) == pytest.approx(2 * once.score(PASSAGES[0]))


def test_coverage_is_the_weight_of_the_words_that_a_passage_has() -> None:
    statistics = TermStatistics(PASSAGES)
    bm25 = Bm25(query(("pump",), ("valv",)), statistics)
    pump, valve = statistics.weight(("pump",)), statistics.weight(("valv",))
    assert bm25.coverage("pump valv") == pytest.approx(1)
    assert bm25.coverage("pump") == pytest.approx(pump / (pump + valve))
    assert bm25.coverage("rule") == 0


def test_an_empty_organisation_scores_without_failing() -> None:
    bm25 = Bm25(query(("pump",)), TermStatistics())
    assert bm25.score("pump") > 0
    assert Bm25(query(), TermStatistics()).coverage("pump") == 0
