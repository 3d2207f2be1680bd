"""Search: candidates from the index, joined with the library, refilled when the join drops some."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, Protocol

from gateway.domain.explanation import HitExplanation, SearchExplanation, TermSpan
from gateway.domain.passages import Passage
from gateway.domain.query.filters import Filter, split
from gateway.domain.query.passage_conditions import holds
from gateway.domain.query.writing import clauses, write
from gateway.domain.scope import CollectionFinder, resolve

# Each further round costs one search; what three rounds do not fill is a library in the middle of a large delete.
MAX_ROUNDS: Final = 3
# A refill asks for some more than is missing, for the same reason that made it necessary.
MIN_REFILL: Final = 20
# What is decided on passages, such as phrases, drops many; the index ranks those with the words high.
MIN_CANDIDATES_TO_CHECK: Final = 100
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
    explain: bool = False


@dataclass(frozen=True, slots=True)
class Candidate:
    """A passage that the index proposes. An arm that did not run has no score; nothing is explained unless that was asked for."""

    passage_id: str
    score: float
    dense: float | None
    lexical: float | None
    explanation: HitExplanation | None = None


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
    explanation: SearchExplanation | None = None


class Index(Protocol):
    """Where the search's candidates come from."""

    async def search(
        self, text: str, collection_ids: Sequence[str], condition: Filter | None, *, limit: int, offset: int, explain: bool
    ) -> Candidates:
        """Candidates, best first, after the first ``offset``."""
        ...

    async def locate(self, texts: Sequence[tuple[str, Sequence[str]]]) -> Sequence[Sequence[TermSpan]]:
        """Where terms stand in texts: of each text with its terms, in reading order."""
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

    @property
    def terms(self) -> list[str]:
        """The query's terms that the passage has; empty unless an explanation was asked for."""
        return self.candidate.explanation.terms if self.candidate.explanation else []


@dataclass(slots=True)
class Found:
    hits: list[Hit] = field(default_factory=list)
    timings_ms: dict[str, float] = field(default_factory=dict)
    explanation: SearchExplanation | None = None

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
        in_index, on_passages = split(query.filter)
        scope = await resolve(self._collections, query.collections, in_index)
        found.add_times({"library": _since(started)})
        offset, wanted = 0, query.limit if on_passages is None else min(max(10 * query.limit, MIN_CANDIDATES_TO_CHECK), MAX_LIMIT)
        for _ in range(MAX_ROUNDS):
            candidates = await self._index.search(
                query.text, scope.collection_ids, scope.filter, limit=wanted, offset=offset, explain=query.explain
            )
            found.add_times(candidates.timings_ms)
            found.explanation = found.explanation or candidates.explanation
            await self._join(candidates.found, on_passages, query.limit, found)
            missing = query.limit - len(found.hits)
            if not missing or not candidates.has_more or not candidates.found:
                break
            offset += len(candidates.found)
            wanted = min(max(2 * missing, MIN_REFILL), MAX_LIMIT) if on_passages is None else MAX_LIMIT
        if query.explain:
            await self._explain(found, in_index, on_passages)
        found.timings_ms["total"] = _since(started)
        return found

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

    async def _explain(self, found: Found, in_index: Filter | None, on_passages: Filter | None) -> None:
        """Add to each hit's explanation what the index doesn't know: the words as the text has them, and the filter as people write it."""
        started = time.perf_counter()
        located = await self._index.locate([(hit.passage.text, hit.terms) for hit in found.hits]) if found.hits else ()
        texts = [write(clause) for clause in clauses(in_index)]
        decided_here = [(write(clause), clause) for clause in clauses(on_passages)]

        def explained(hit: Hit, spans: Sequence[TermSpan]) -> Hit:
            index = hit.candidate.explanation
            if index is None:
                return hit
            held = [texts[place] for place in index.held_clauses] + [text for text, clause in decided_here if holds(clause, hit.passage)]
            return replace(hit, candidate=replace(hit.candidate, explanation=replace(index, spans=spans, filter_clauses=held)))

        found.hits = await asyncio.to_thread(lambda: [explained(hit, spans) for hit, spans in zip(found.hits, located, strict=True)])
        found.add_times({"explain": _since(started)})


def _since(started: float) -> float:
    return (time.perf_counter() - started) * 1000
