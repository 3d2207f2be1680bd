"""Explanations to messages."""

from __future__ import annotations

from collections.abc import Iterable

from embedder.domain.analysis.analyzer import TermSpan
from embedder.domain.explanation import HitExplanation, MatchedWord, SearchExplanation
from lectern.embedder.v1 import index_pb2


def from_search_explanation(explanation: SearchExplanation) -> index_pb2.SearchExplanation:
    message = index_pb2.SearchExplanation(dense_weight=explanation.dense_weight)
    if (query := explanation.query) is not None:
        message.words.extend(index_pb2.QueryWord(text=query.spellings[word], terms=word) for word in dict.fromkeys(query.words))
    return message


def from_hit_explanation(explanation: HitExplanation) -> index_pb2.HitExplanation:
    return index_pb2.HitExplanation(
        dense_share=explanation.dense_share,
        lexical_share=explanation.lexical_share,
        matched_words=[_matched_word(word) for word in explanation.matched_words],
        held_clauses=explanation.held_clauses,
    )


def from_spans(spans: Iterable[TermSpan]) -> index_pb2.LocatedTerms:
    return index_pb2.LocatedTerms(spans=[index_pb2.TermSpan(term=span.term, start=span.start, end=span.end) for span in spans])


def _matched_word(word: MatchedWord) -> index_pb2.MatchedWord:
    return index_pb2.MatchedWord(text=word.text, terms=word.terms, count=word.count, score=word.score)
