"""An exact index in the process's memory: for trials without a store, and the measure that other stores are compared with."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from embedder.domain.encoding import Vectors
from embedder.domain.filters import AllOf, AnyOf, Comparison, Filter, NoneOf, Operator, Scope
from embedder.domain.passages import Candidate, IndexedPassage, JsonValue, PassageAttributes

# The constants of BM25 that every store of ours is created with.
BM25_K1 = 1.5
BM25_B = 0.75


@dataclass(frozen=True, slots=True)
class _Row:
    indexed: IndexedPassage
    term_counts: Counter[str]
    length: int

    @property
    def passage_id(self) -> str:
        return self.indexed.passage.passage_id


class MemoryIndex:
    """Keeps every organisation's rows in a dictionary of its own and scores all of them. Lost with the process."""

    physical_collection = "memory"

    def __init__(self) -> None:
        self._organisations: dict[str, dict[str, _Row]] = {}

    async def upsert(self, organisation_id: str, rows: Sequence[IndexedPassage]) -> None:
        held = self._organisations.setdefault(organisation_id, {})
        for row in rows:
            terms = row.terms.split()
            held[row.passage.passage_id] = _Row(row, Counter(terms), len(terms))

    async def search_dense(self, organisation_id: str, vector: Vectors, scope: Scope, limit: int) -> list[Candidate]:
        return _best(((row, _cosine(vector, row.indexed.vector)) for row in self._in_scope(organisation_id, scope)), limit)

    async def search_lexical(self, organisation_id: str, terms: str, scope: Scope, limit: int) -> list[Candidate]:
        scores = self._bm25(organisation_id, terms)
        rows = (row for row in self._in_scope(organisation_id, scope) if row.passage_id in scores)
        return _best(((row, scores[row.passage_id]) for row in rows), limit)

    async def dense_scores(self, organisation_id: str, vector: Vectors, passage_ids: Sequence[str]) -> dict[str, float]:
        rows = self._rows(organisation_id)
        return {held: _cosine(vector, rows[held].indexed.vector) for held in passage_ids if held in rows}

    async def lexical_scores(self, organisation_id: str, terms: str, passage_ids: Sequence[str]) -> dict[str, float]:
        scores = self._bm25(organisation_id, terms)
        return {passage_id: scores[passage_id] for passage_id in passage_ids if passage_id in scores}

    async def fetch_vectors(self, organisation_id: str, passage_ids: Sequence[str]) -> Mapping[str, Vectors]:
        rows = self._rows(organisation_id)
        return {held: rows[held].indexed.vector for held in passage_ids if held in rows}

    async def fetch_terms(self, organisation_id: str, passage_ids: Sequence[str]) -> Mapping[str, str]:
        rows = self._rows(organisation_id)
        return {held: rows[held].indexed.terms for held in passage_ids if held in rows}

    async def find_missing(self, organisation_id: str, passage_ids: Sequence[str]) -> list[str]:
        held = self._rows(organisation_id)
        return [passage_id for passage_id in passage_ids if passage_id not in held]

    async def delete_document(self, organisation_id: str, document_id: str, before_generation: int | None) -> tuple[int, int]:
        rows = self._rows(organisation_id)
        doomed = [
            passage_id
            for passage_id, row in rows.items()
            if row.indexed.passage.document_id == document_id
            and (before_generation is None or row.indexed.passage.generation < before_generation)
        ]
        for passage_id in doomed:
            del rows[passage_id]
        return len(doomed), 0

    async def count(self, organisation_id: str, collection_id: str | None) -> int:
        rows = self._rows(organisation_id).values()
        return sum(collection_id in (None, row.indexed.passage.attributes.collection_id) for row in rows)

    async def is_serving(self) -> bool:
        return True

    async def close(self) -> None:
        self._organisations.clear()

    def _rows(self, organisation_id: str) -> dict[str, _Row]:
        return self._organisations.get(organisation_id, {})

    def _in_scope(self, organisation_id: str, scope: Scope) -> Iterable[_Row]:
        for row in self._rows(organisation_id).values():
            attributes = row.indexed.passage.attributes
            if (
                (not scope.collection_ids or attributes.collection_id in scope.collection_ids)
                and attributes.access_set_id in (0, *scope.access_set_ids)
                and (scope.filter is None or _holds(scope.filter, row.indexed.passage.document_id, attributes))
            ):
                yield row

    def _bm25(self, organisation_id: str, terms: str) -> dict[str, float]:
        """Scores of every passage that shares a term with the query.

        Source: Robertson and Zaragoza, "The Probabilistic Relevance Framework: BM25 and Beyond", 2009, with the idf that stays positive.
        """
        rows = self._rows(organisation_id).values()
        mean_length = sum(row.length for row in rows) / max(len(rows), 1)
        scores: dict[str, float] = {}
        for term, weight in Counter(terms.split()).items():
            matching = [row for row in rows if term in row.term_counts]
            idf = math.log((len(rows) - len(matching) + 0.5) / (len(matching) + 0.5) + 1)
            for row in matching:
                count = row.term_counts[term]
                saturated = count * (BM25_K1 + 1) / (count + BM25_K1 * (1 - BM25_B + BM25_B * row.length / mean_length))
                scores[row.passage_id] = scores.get(row.passage_id, 0.0) + weight * idf * saturated
        return scores


def _best(scored: Iterable[tuple[_Row, float]], limit: int) -> list[Candidate]:
    ranked = sorted(scored, key=lambda each: (-each[1], each[0].passage_id))[:limit]
    return [Candidate(row.passage_id, row.indexed.passage.document_id, row.indexed.passage.generation, score) for row, score in ranked]


def _cosine(left: Vectors, right: Vectors) -> float:
    return float(np.dot(left, right) / (np.linalg.norm(left) * np.linalg.norm(right)))


def _holds(condition: Filter, document_id: str, attributes: PassageAttributes) -> bool:
    match condition:
        case AllOf(filters):
            return all(_holds(each, document_id, attributes) for each in filters)
        case AnyOf(filters):
            return any(_holds(each, document_id, attributes) for each in filters)
        case NoneOf(negated):
            return not _holds(negated, document_id, attributes)
        case Comparison():
            return _compares(condition, document_id, attributes)


def _compares(condition: Comparison, document_id: str, attributes: PassageAttributes) -> bool:
    key = condition.metadata_key
    held: object
    if key is not None:
        held = attributes.metadata.get(key)
    else:
        held = document_id if condition.field == "document_id" else getattr(attributes, condition.field)
    if held is None:
        return False
    if condition.operator is Operator.EXISTS:
        return True
    return any(_satisfies(held, condition.operator, value) for value in condition.values)


def _satisfies(held: object, operator: Operator, value: JsonValue) -> bool:
    """Whether a value compares; values of different kinds never do."""
    if isinstance(held, bool) or isinstance(value, bool):
        return type(held) is type(value) and held == value and operator in (Operator.EQUAL, Operator.IN)
    if isinstance(held, str) and isinstance(value, str):
        return _ordered(operator, (held > value) - (held < value))
    if isinstance(held, int | float) and isinstance(value, int | float):
        return _ordered(operator, (held > value) - (held < value))
    return False


def _ordered(operator: Operator, order: int) -> bool:
    match operator:
        case Operator.LESS:
            return order < 0
        case Operator.LESS_OR_EQUAL:
            return order <= 0
        case Operator.GREATER:
            return order > 0
        case Operator.GREATER_OR_EQUAL:
            return order >= 0
        case _:
            return order == 0
