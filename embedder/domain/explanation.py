"""Why a search's hits stand where they stand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from embedder.domain.analysis.query import Query
from embedder.domain.bm25 import Bm25
from embedder.domain.filters import Filter, clauses
from embedder.domain.index import VectorIndex


@dataclass(frozen=True, slots=True)
class MatchedWord:
    """A word of the query that a passage has.

    Attributes:
        text: as it stands in the query, in small letters.
        terms: of what it may stand as in the index, what the passage has.
        count: how often the passage has them.
        score: what it adds to the passage's BM25.
    """

    text: str
    terms: tuple[str, ...]
    count: int
    score: float


@dataclass(frozen=True, slots=True)
class HitExplanation:
    """Why a hit stands where it stands.

    Attributes:
        dense_share, lexical_share: what each arm adds to the score.
        matched_words: those that add most to BM25 first.
        held_clauses: places, in the filter's order, of those of its clauses that the store found to hold.
    """

    dense_share: float
    lexical_share: float
    matched_words: tuple[MatchedWord, ...]
    held_clauses: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class SearchExplanation:
    """How a search weighed its arms.

    Attributes:
        dense_weight: between 0 and 1; the lexical arm has the rest.
        query: None when there was no lexical arm.
    """

    dense_weight: float
    query: Query | None


def matched_words(query: Query, bm25: Bm25, terms: str) -> tuple[MatchedWord, ...]:
    """The query's words that a passage's terms have, those that add most first."""
    held = set(terms.split())
    found = [
        MatchedWord(query.spellings[match.word], tuple(term for term in match.word if term in held), match.count, match.score)
        for match in bm25.matches(terms)
    ]
    return tuple(sorted(found, key=lambda word: -word.score))


async def held_clauses(
    index: VectorIndex, organisation_id: str, passage_ids: Sequence[str], condition: Filter | None
) -> dict[str, tuple[int, ...]]:
    """Which of a filter's clauses hold of each passage: the store is asked for every one of them."""
    held: dict[str, tuple[int, ...]] = dict.fromkeys(passage_ids, ())
    for place, clause in enumerate(clauses(condition) if passage_ids else ()):
        for passage_id in await index.satisfying(organisation_id, passage_ids, clause):
            held[passage_id] += (place,)
    return held
