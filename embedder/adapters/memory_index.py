"""An exact index in the process's memory: for trials without a store, and the measure that other stores are compared with."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from embedder.domain.analysis.query import Query
from embedder.domain.bm25 import Bm25, TermStatistics
from embedder.domain.encoding import Vectors
from embedder.domain.filters import AllOf, AnyOf, Comparison, Filter, NoneOf, Operator, Scope
from embedder.domain.passages import (
    Candidate,
    Deleted,
    Generations,
    HeldPassage,
    IndexedPassage,
    JsonValue,
    Passage,
    PassageAttributes,
)


class MemoryIndex:
    """Keeps every organisation's rows in a dictionary of its own and scores all of them. Lost with the process."""

    physical_collection = "memory"

    def __init__(self) -> None:
        self._organisations: dict[str, dict[str, IndexedPassage]] = {}

    async def upsert(self, organisation_id: str, rows: Sequence[IndexedPassage]) -> None:
        self._organisations.setdefault(organisation_id, {}).update({row.passage.passage_id: row for row in rows})

    async def search_dense(self, organisation_id: str, vector: Vectors, scope: Scope, limit: int) -> list[Candidate]:
        unit = _unit(vector)
        scored = [(row, float(unit @ _unit(row.vector))) for row in self._in_scope(organisation_id, scope)]
        return [_candidate(row, cosine=cosine) for row, cosine in _best(scored, limit)]

    async def search_lexical(self, organisation_id: str, terms: str, scope: Scope, limit: int) -> list[Candidate]:
        statistics = TermStatistics(row.terms for row in self._rows(organisation_id).values())
        bm25 = Bm25(Query(tuple((term,) for term in terms.split()), 1), statistics)
        scored = [(row, bm25.score(row.terms)) for row in self._in_scope(organisation_id, scope)]
        return [_candidate(row, vector=_unit(row.vector)) for row, score in _best(scored, limit) if score > 0]

    async def sample_terms(self, organisation_id: str, count: int) -> list[str]:
        return [row.terms for row in self._rows(organisation_id).values()][:count]

    async def fetch_vectors(self, organisation_id: str, passage_ids: Sequence[str]) -> Mapping[str, Vectors]:
        rows = self._rows(organisation_id)
        return {held: _unit(rows[held].vector) for held in passage_ids if held in rows}

    async def satisfying(self, organisation_id: str, passage_ids: Sequence[str], condition: Filter) -> set[str]:
        rows = self._rows(organisation_id)
        held = [rows[passage_id].passage for passage_id in passage_ids if passage_id in rows]
        return {each.passage_id for each in held if _holds(condition, each.document_id, each.attributes)}

    async def find_missing(self, organisation_id: str, passage_ids: Sequence[str]) -> list[str]:
        held = self._rows(organisation_id)
        return [passage_id for passage_id in passage_ids if passage_id not in held]

    async def delete_documents(self, organisation_id: str, documents: Mapping[str, Generations]) -> Mapping[str, Deleted]:
        passages = [row.passage for row in self._rows(organisation_id).values()]
        deleted: dict[str, Deleted] = {}
        for document_id, generations in documents.items():
            doomed = [each.passage_id for each in passages if each.document_id == document_id and each.generation in generations]
            deleted[document_id] = await self.delete_passages(organisation_id, doomed)
        return deleted

    async def delete_passages(self, organisation_id: str, passage_ids: Sequence[str]) -> Deleted:
        rows = self._rows(organisation_id)
        return Deleted(sum(rows.pop(passage_id, None) is not None for passage_id in passage_ids), 0)

    async def scan(self, organisation_id: str, after: str, limit: int) -> list[HeldPassage]:
        rows = self._rows(organisation_id)
        following = sorted(passage_id for passage_id in rows if passage_id > after)[:limit]
        return [_held(rows[passage_id].passage) for passage_id in following]

    async def organisations(self) -> list[str]:
        return [organisation_id for organisation_id, rows in self._organisations.items() if rows]

    async def count(self, organisation_id: str, collection_id: str | None) -> int:
        rows = self._rows(organisation_id).values()
        return sum(collection_id in (None, row.passage.attributes.collection_id) for row in rows)

    async def is_serving(self) -> bool:
        return True

    async def close(self) -> None:
        self._organisations.clear()

    def _rows(self, organisation_id: str) -> dict[str, IndexedPassage]:
        return self._organisations.get(organisation_id, {})

    def _in_scope(self, organisation_id: str, scope: Scope) -> Iterable[IndexedPassage]:
        for row in self._rows(organisation_id).values():
            attributes = row.passage.attributes
            if (
                (not scope.collection_ids or attributes.collection_id in scope.collection_ids)
                and attributes.access_set_id in (0, *scope.access_set_ids)
                and (scope.filter is None or _holds(scope.filter, row.passage.document_id, attributes))
            ):
                yield row


def _candidate(row: IndexedPassage, *, cosine: float | None = None, vector: Vectors | None = None) -> Candidate:
    return Candidate(row.passage.passage_id, row.passage.document_id, row.passage.generation, row.terms, cosine, vector)


def _held(passage: Passage) -> HeldPassage:
    collection_id = passage.attributes.collection_id
    return HeldPassage(passage.passage_id, passage.document_id, passage.generation, collection_id, passage.fingerprint)


def _best(scored: list[tuple[IndexedPassage, float]], limit: int) -> list[tuple[IndexedPassage, float]]:
    return sorted(scored, key=lambda each: (-each[1], each[0].passage.passage_id))[:limit]


def _unit(vector: Vectors) -> Vectors:
    unit: Vectors = vector / np.linalg.norm(vector)
    return unit


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
