"""Why a search's hits stand where they stand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class QueryWord:
    """A word of the query, in small letters, and the terms that it may stand as in the index."""

    text: str
    terms: Sequence[str]


@dataclass(frozen=True, slots=True)
class SearchExplanation:
    """How a search weighed its arms: what is best by meaning gets ``dense_weight`` for that, and the lexical arm has the rest of 1."""

    dense_weight: float
    words: Sequence[QueryWord]


@dataclass(frozen=True, slots=True)
class MatchedWord:
    """A word of the query that a passage has in the index.

    Attributes:
        terms: those of its terms that the passage has, with its document's name and its headings.
        count: how often it has them.
        score: what that adds to the passage's BM25.
    """

    text: str
    terms: Sequence[str]
    count: int
    score: float


@dataclass(frozen=True, slots=True)
class TermSpan:
    """A term, and the characters of a text that became it: from ``start``, up to and without ``end``."""

    term: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class HitExplanation:
    """Why a hit stands where it stands.

    Attributes:
        dense_share, lexical_share: what each arm adds to the score.
        held_clauses: places of the clauses that hold in the filter that the index was given.
        spans: where the terms stand in the passage's text.
        filter_clauses: the clauses of the whole filter that hold, as people write them.
    """

    dense_share: float
    lexical_share: float
    matched_words: Sequence[MatchedWord]
    held_clauses: Sequence[int]
    spans: Sequence[TermSpan] = field(default=())
    filter_clauses: Sequence[str] = field(default=())

    @property
    def terms(self) -> list[str]:
        return [term for word in self.matched_words for term in word.terms]
