"""Explanations from messages."""

from __future__ import annotations

from gateway.domain.explanation import HitExplanation, MatchedWord, QueryWord, SearchExplanation
from lectern.embedder.v1 import index_pb2


def to_search_explanation(message: index_pb2.SearchExplanation) -> SearchExplanation:
    return SearchExplanation(message.dense_weight, [QueryWord(word.text, list(word.terms)) for word in message.words])


def to_hit_explanation(message: index_pb2.HitExplanation) -> HitExplanation:
    return HitExplanation(
        dense_share=message.dense_share,
        lexical_share=message.lexical_share,
        matched_words=[MatchedWord(word.text, list(word.terms), word.count, word.score) for word in message.matched_words],
        held_clauses=list(message.held_clauses),
    )
