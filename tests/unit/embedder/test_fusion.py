from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedder.domain.fusion import dense_weight, fuse

scores = st.dictionaries(st.sampled_from("abcdefgh"), st.floats(-1, 40), max_size=8)


def ranking(dense: dict[str, float] | None, lexical: dict[str, float] | None, alpha: float = 0.5) -> list[str]:
    return [hit.passage_id for hit in fuse(dense, lexical, alpha=alpha)]


def test_scores_are_shares_of_each_arms_best() -> None:
    fused = {hit.passage_id: hit.fused for hit in fuse({"a": 0.8, "b": 0.4}, {"a": 5.0, "b": 10.0}, alpha=0.5)}
    assert fused == pytest.approx({"a": 0.75, "b": 0.75})


def test_what_leads_in_both_arms_leads() -> None:
    assert ranking({"a": 0.9, "b": 0.5, "c": 0.1}, {"a": 9.0, "c": 8.0}) == ["a", "c", "b"]


def test_a_negative_cosine_counts_as_none() -> None:
    (first, second) = fuse({"a": -0.4, "b": 0.2}, {"a": 1.0}, alpha=0.5)
    assert (first.fused, second.fused) == (0.5, 0.5)
    assert (second.passage_id, second.dense) == ("a", -0.4)


def test_an_arm_that_did_not_run_leaves_the_decision_to_the_other() -> None:
    assert [(hit.passage_id, hit.fused) for hit in fuse({"a": 0.5, "b": 0.25}, None, alpha=0.5)] == [("a", 1.0), ("b", 0.5)]
    assert [(hit.passage_id, hit.fused) for hit in fuse(None, {"a": 2.0, "b": 4.0}, alpha=0.5)] == [("b", 1.0), ("a", 0.5)]


def test_a_lexical_arm_without_a_match_changes_no_order() -> None:
    dense = {"a": 0.9, "b": 0.5, "c": 0.7}
    assert ranking(dense, {}) == ranking(dense, None)


def test_equal_scores_are_ordered_by_dense_score_and_then_by_id() -> None:
    assert ranking({"a": 0.5, "b": 0.5, "c": 1.0}, {"a": 1.0, "b": 1.0, "c": 0.5}) == ["c", "a", "b"]


@given(scores, scores, st.floats(0, 1))
def test_fused_scores_lie_between_nothing_and_one_and_fall(dense: dict[str, float], lexical: dict[str, float], alpha: float) -> None:
    fused = [hit.fused for hit in fuse(dense, lexical, alpha=alpha)]
    assert fused == sorted(fused, reverse=True)
    assert all(0 <= score <= 1 + 1e-9 for score in fused)


@given(scores, scores)
def test_the_order_depends_on_the_scores_alone(dense: dict[str, float], lexical: dict[str, float]) -> None:
    turned = dict(reversed(dense.items())), dict(reversed(lexical.items()))
    assert ranking(dense, lexical) == ranking(*turned)


def test_both_arms_weigh_alike_when_the_model_knows_the_words_and_a_passage_has_them_all() -> None:
    assert dense_weight(coverage=1.0, tokens_a_word=1.0) == 0.5


def test_the_fewer_words_the_best_match_has_the_more_meaning_counts() -> None:
    weights = [dense_weight(coverage=coverage, tokens_a_word=1.0) for coverage in (1.0, 0.6, 0.2, 0.0)]
    assert weights == sorted(weights)
    assert weights[-1] == 1.0


def test_the_more_the_words_fall_to_pieces_in_the_model_the_less_meaning_counts() -> None:
    weights = [dense_weight(coverage=1.0, tokens_a_word=pieces) for pieces in (0.7, 1.0, 1.8, 3.0, 9.0)]
    assert weights == sorted(weights, reverse=True)
    assert weights[0] == weights[1]
    assert weights[-1] == weights[-2] == 0.25
