"""Search: candidates from the index, joined with the library, refilled when the library drops some."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from gateway.domain.collections import Collection
from gateway.domain.filters import Filter
from gateway.domain.passages import Passage
from shared.errors import not_found

# Each further round costs one search; what three rounds do not fill is a library in the middle of a large delete.
MAX_ROUNDS: Final = 3
# A refill asks for some more than is missing, for the same reason that made it necessary.
MIN_REFILL: Final = 20
MAX_LIMIT: Final = 1000


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
        collection_ids = await self._collection_ids(query.collections)
        found.add_times({"library": _since(started)})
        offset, wanted = 0, query.limit
        for _ in range(MAX_ROUNDS):
            candidates = await self._index.search(query.text, collection_ids, query.filter, limit=wanted, offset=offset)
            found.add_times(candidates.timings_ms)
            await self._join(candidates.found, query.limit, found)
            missing = query.limit - len(found.hits)
            if not missing or not candidates.has_more or not candidates.found:
                break
            offset += len(candidates.found)
            wanted = min(max(2 * missing, MIN_REFILL), MAX_LIMIT)
        found.timings_ms["total"] = _since(started)
        return found

    async def _collection_ids(self, named: Sequence[str]) -> Sequence[str]:
        if not named:
            return ()
        collections = await self._collections.find(named)
        known = {key for collection in collections for key in (collection.collection_id, collection.name)}
        for name in named:
            if name not in known:
                raise not_found("collection", name)
        return [collection.collection_id for collection in collections]

    async def _join(self, candidates: Sequence[Candidate], limit: int, found: Found) -> None:
        """Add the candidates that the library knows to ``found``, in their order."""
        started = time.perf_counter()
        held = {hit.passage.passage_id for hit in found.hits}
        new = {candidate.passage_id: candidate for candidate in candidates if candidate.passage_id not in held}
        if new:
            for passage in await self._library.get_visible(list(new)):
                if len(found.hits) < limit:
                    found.hits.append(Hit(passage, new[passage.passage_id]))
        found.add_times({"library": _since(started)})


def _since(started: float) -> float:
    return (time.perf_counter() - started) * 1000
