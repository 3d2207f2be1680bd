"""BM25 over an organisation's passages, with statistics of our own.

Stores score words too, but each in its own way: Milvus Lite counts term frequencies by segment, so that the same passage scores differently
before and after a flush, and a server counts over all organisations. Here every candidate of a search is scored by one measure.

Source: Robertson and Zaragoza, "The Probabilistic Relevance Framework: BM25 and Beyond", 2009; alternatives of one word count as one term
(Pirkola, SIGIR 1998).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from embedder.domain.analysis.query import Query, Word

# How fast repeating a term stops to matter, and how much long passages are discounted; stores are set up with the same.
K1 = 1.5
B = 0.75


class TermStatistics:
    """In how many of an organisation's passages each term stands; of all of them or of a sample."""

    def __init__(self, passages: Iterable[str] = ()) -> None:
        self._passages = 0
        self._length = 0
        self._frequency: Counter[str] = Counter()
        for terms in passages:
            self.add(terms)

    def add(self, terms: str) -> None:
        """Count one more passage."""
        split = terms.split()
        self._passages += 1
        self._length += len(split)
        self._frequency.update(set(split))

    @property
    def mean_length(self) -> float:
        """Terms in a passage on average; at least 1."""
        return max(self._length / max(self._passages, 1), 1.0)

    def weight(self, word: Word) -> float:
        """Inverse document frequency of a word, in nats; positive also for words that stand everywhere."""
        frequency = min(sum(self._frequency[term] for term in word), self._passages)
        return math.log((self._passages - frequency + 0.5) / (frequency + 0.5) + 1)


@dataclass(frozen=True, slots=True)
class Match:
    """A word of the query that a passage has, how often, and what it adds to the passage's score."""

    word: Word
    count: int
    score: float


class Bm25:
    """Scores passages against one query."""

    def __init__(self, query: Query, statistics: TermStatistics) -> None:
        self._weights = [(word, count, statistics.weight(word)) for word, count in Counter(query.words).items()]
        self._mean_length = statistics.mean_length

    def score(self, terms: str) -> float:
        """BM25 of a passage's terms; 0 when it has none of the query's words."""
        return sum((match.score for match in self.matches(terms)), 0.0)

    def matches(self, terms: str) -> Iterator[Match]:
        """The query's words that a passage has, in the query's order."""
        counts = Counter(terms.split())
        norm = K1 * (1 - B + B * counts.total() / self._mean_length)
        for word, repeated, weight in self._weights:
            if count := sum(counts[term] for term in word):
                yield Match(word, count, repeated * weight * count * (K1 + 1) / (count + norm))

    def coverage(self, terms: str) -> float:
        """How much of the query a passage has, between 0 and 1: its words' weights over those of all words."""
        held = set(terms.split())
        total = sum(weight for _, _, weight in self._weights)
        return sum(weight for word, _, weight in self._weights if not held.isdisjoint(word)) / total if total else 0.0
