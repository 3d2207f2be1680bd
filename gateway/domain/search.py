"""Search: candidates from the index, joined with the library, refilled when the join drops some."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from gateway.domain.collections import Collection
from gateway.domain.filters import Comparison, Filter, Operator, comparisons, replace_comparisons, split
from gateway.domain.passage_conditions import holds
from gateway.domain.passages import Passage
from shared.errors import not_found

# Each further round costs one search; what three rounds do not fill is a library in the middle of a large delete.
MAX_ROUNDS: Final = 3
# A refill asks for some more than is missing, for the same reason that made it necessary.
MIN_REFILL: Final = 20
# What is decided on passages, such as phrases, drops many; the index ranks those with the words high.
MIN_CANDIDATES_TO_CHECK: Final = 100
MAX_LIMIT: Final = 1000
_COLLECTION: Final = "collection"


@dataclass(frozen=True, slots=True)
class Query:
    """What to search.

    Attributes:
        collections: ids or names; empty: every collection of the organisation.
    """

    text: str
    collections: Sequence[str] = ()
    filter: Filter | None = None
    limit: int = 10


@dataclass(frozen=True, slots=True)
class Candidate:
    """A passage that the index proposes. An arm that did not run has no score."""

    passage_id: str
    score: float
    dense: float | None
    lexical: float | None


@dataclass(frozen=True, slots=True)
class Candidates:
    """What the index proposes.

    Attributes:
        timings_ms: milliseconds by stage.
        has_more: whether asking with a larger offset gives more.
    """

    found: Sequence[Candidate]
    timings_ms: Mapping[str, float]
    has_more: bool


class Index(Protocol):
    """Where the search's candidates come from."""

    async def search(self, text: str, collection_ids: Sequence[str], condition: Filter | None, *, limit: int, offset: int) -> Candidates:
        """Candidates, best first, after the first ``offset``."""
        ...


class CollectionFinder(Protocol):
    """Which collections the organisation has."""

    async def find(self, collections: Sequence[str]) -> Sequence[Collection]:
        """Those of ``collections``, ids or names, that exist, in no order."""
        ...


class Library(Protocol):
    """What is behind a passage's id, for those who may see it."""

    async def get_visible(self, passage_ids: Sequence[str]) -> Sequence[Passage]:
        """Those of ``passage_ids`` that the caller may see, in the order given."""
        ...


@dataclass(frozen=True, slots=True)
class Hit:
    passage: Passage
    candidate: Candidate


@dataclass(slots=True)
class Found:
    hits: list[Hit] = field(default_factory=list)
    timings_ms: dict[str, float] = field(default_factory=dict)

    def add_times(self, timings_ms: Mapping[str, float]) -> None:
        for stage, milliseconds in timings_ms.items():
            self.timings_ms[stage] = self.timings_ms.get(stage, 0.0) + milliseconds


class Search:
    """Finds passages that the current caller may see."""

    def __init__(self, index: Index, library: Library, collections: CollectionFinder) -> None:
        self._index = index
        self._library = library
        self._collections = collections

    async def run(self, query: Query) -> Found:
        """The best ``query.limit`` passages, or as many as there are.

        Raises:
            AppError: COLLECTION_NOT_FOUND naming the collection that does not exist.
        """
        started = time.perf_counter()
        found = Found()
        scope = await self._scope(query)
        found.add_times({"library": _since(started)})
        offset, wanted = 0, query.limit if scope.on_passages is None else min(max(10 * query.limit, MIN_CANDIDATES_TO_CHECK), MAX_LIMIT)
        for _ in range(MAX_ROUNDS):
            candidates = await self._index.search(query.text, scope.collection_ids, scope.in_index, limit=wanted, offset=offset)
            found.add_times(candidates.timings_ms)
            await self._join(candidates.found, scope.on_passages, query.limit, found)
            missing = query.limit - len(found.hits)
            if not missing or not candidates.has_more or not candidates.found:
                break
            offset += len(candidates.found)
            wanted = min(max(2 * missing, MIN_REFILL), MAX_LIMIT) if scope.on_passages is None else MAX_LIMIT
        found.timings_ms["total"] = _since(started)
        return found

    async def _scope(self, query: Query) -> _Scope:
        in_index, on_passages = split(query.filter)
        in_filter = [] if in_index is None else [each for each in comparisons(in_index) if each.field == _COLLECTION]
        named = [str(value) for each in in_filter for value in each.values]
        if not query.collections and not named:
            return _Scope((), in_index, on_passages)
        found = await self._collections.find(list(dict.fromkeys([*query.collections, *named])))
        ids = {key: collection.collection_id for collection in found for key in (collection.name, collection.collection_id)}
        for name in (*query.collections, *named):
            if name not in ids:
                raise not_found("collection", name)
        if in_index is not None:
            in_index = replace_comparisons(in_index, lambda comparison: _by_id(comparison, ids))
        chosen = {ids[name] for name in query.collections}
        return _Scope([each.collection_id for each in found if each.collection_id in chosen], in_index, on_passages)

    async def _join(self, candidates: Sequence[Candidate], condition: Filter | None, limit: int, found: Found) -> None:
        """Add the candidates that the library knows, and that ``condition`` holds of, to ``found``, in their order."""
        started = time.perf_counter()
        held = {hit.passage.passage_id for hit in found.hits}
        new = {candidate.passage_id: candidate for candidate in candidates if candidate.passage_id not in held}
        if new:
            visible = await self._library.get_visible(list(new))
            if condition is not None:
                visible = await asyncio.to_thread(lambda: [passage for passage in visible if holds(condition, passage)])
            found.hits += [Hit(passage, new[passage.passage_id]) for passage in visible[: limit - len(found.hits)]]
        found.add_times({"library": _since(started)})


@dataclass(frozen=True, slots=True)
class _Scope:
    """What a query may find.

    Attributes:
        collection_ids: empty: every collection.
        in_index, on_passages: the two halves of its filter.
    """

    collection_ids: Sequence[str]
    in_index: Filter | None
    on_passages: Filter | None


def _by_id(comparison: Comparison, ids: Mapping[str, str]) -> Filter:
    """A comparison of collections' names, which the index doesn't know, as one of their ids."""
    if comparison.field != _COLLECTION:
        return comparison
    return Comparison("collection_id", Operator.IN, tuple(ids[str(name)] for name in comparison.values))


def _since(started: float) -> float:
    return (time.perf_counter() - started) * 1000
