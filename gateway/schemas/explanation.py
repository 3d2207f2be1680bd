from __future__ import annotations

from collections.abc import Sequence

from pydantic import Field

from gateway.domain import explanation as domain
from gateway.domain.search import Hit
from gateway.schemas.shapes import Shape


class QueryWord(Shape):
    """A word of the query that tells passages apart."""

    text: str = Field(description="In small letters; an identifier stands as a whole and in parts.")
    terms: list[str] = Field(description="What it may stand as in the index: its stem in each language.")


class SearchExplanation(Shape):
    """How meaning and words were weighed for this query."""

    dense_weight: float = Field(description="What the best hit by meaning gets for that.")
    lexical_weight: float = Field(description="What the best hit by words gets for that; both make 1.")
    words: list[QueryWord] = Field(description="In the query's order; stop words are left out.")


class TextSpan(Shape):
    """A piece of the passage's text."""

    text: str = Field(description="As it stands there.")
    start: int = Field(description="Character offset in the passage's text at which it starts.")
    end: int = Field(description="Character offset at which it ends.")


class MatchedTerm(Shape):
    """A word of the query that the passage has."""

    word: str = Field(description="As it stands in the query, in small letters.")
    terms: list[str] = Field(description="Its analysed forms that the passage has in the index.")
    count: int = Field(description="How often it has them, in its text and in the document's name and headings above it.")
    score: float = Field(description="What it adds to `scores.lexical`.")
    in_text: list[TextSpan] = Field(description="Where it stands in the text; empty for what only name and headings have.")


class HitExplanation(Shape):
    """Why a hit stands where it stands."""

    dense_share: float = Field(description="What its meaning adds to `score`.")
    lexical_share: float = Field(description="What its words add to `score`; both shares make it.")
    matched_terms: list[MatchedTerm] = Field(description="Those that add most first.")
    filter_clauses: list[str] = Field(description="The filter's clauses that hold, in the query language; JSON where that has no words.")


def to_search_explanation(explanation: domain.SearchExplanation) -> SearchExplanation:
    return SearchExplanation(
        dense_weight=explanation.dense_weight,
        lexical_weight=1 - explanation.dense_weight,
        words=[QueryWord.model_validate(word) for word in explanation.words],
    )


def to_hit_explanation(hit: Hit) -> HitExplanation | None:
    explanation, text = hit.candidate.explanation, hit.passage.text
    if explanation is None:
        return None
    return HitExplanation(
        dense_share=explanation.dense_share,
        lexical_share=explanation.lexical_share,
        matched_terms=[_matched_term(word, explanation.spans, text) for word in explanation.matched_words],
        filter_clauses=list(explanation.filter_clauses),
    )


def _matched_term(word: domain.MatchedWord, spans: Sequence[domain.TermSpan], text: str) -> MatchedTerm:
    return MatchedTerm(
        word=word.text,
        terms=list(word.terms),
        count=word.count,
        score=word.score,
        in_text=[TextSpan(text=text[span.start : span.end], start=span.start, end=span.end) for span in spans if span.term in word.terms],
    )
