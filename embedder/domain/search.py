"""Finds passages by meaning and by words."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from enum import Enum

from embedder import errors
from embedder.domain.analysis.analyzer import Analyzer, Query
from embedder.domain.batching import Lane
from embedder.domain.concurrency import concurrently
from embedder.domain.embedding import TextEmbedder, Urgency
from embedder.domain.encoding import Task, Vectors
from embedder.domain.filters import Scope
from embedder.domain.fusion import dense_weight, fuse
from embedder.domain.index import VectorIndex
from embedder.domain.passages import Candidate

MAX_LIMIT = 1_000
MAX_DEPTH = 10_000
MAX_QUERY_CHARACTERS = 10_000
# Each arm lists at least this many; fusion needs more than is asked for.
_CANDIDATES = 100


class Mode(Enum):
    HYBRID = "hybrid"
    DENSE = "dense"
    LEXICAL = "lexical"


@dataclass(frozen=True, slots=True)
class SearchRequest:
    query: str
    scope: Scope
    limit: int
    offset: int = 0
    mode: Mode = Mode.HYBRID
    seconds_left: float | None = None


@dataclass(frozen=True, slots=True)
class Hit:
    """One passage found.

    Attributes:
        score: between 0 and 1; comparable within one search only.
        dense, lexical: the arms' own scores; None when the arm did not run.
    """

    passage_id: str
    document_id: str
    generation: int
    score: float
    dense: float | None
    lexical: float | None


@dataclass(slots=True)
class SearchTimings:
    """Where the time went, in seconds."""

    embed: float = 0.0
    analyse: float = 0.0
    retrieve: float = 0.0
    fuse: float = 0.0


@dataclass(frozen=True, slots=True)
class SearchResult:
    hits: list[Hit]
    has_more: bool
    timings: SearchTimings = field(default_factory=SearchTimings)


@dataclass(slots=True)
class _DenseArm:
    """What the dense arm asked with and found. Scores grow by those of the other arm's passages."""

    vector: Vectors
    token_count: int
    candidates: list[Candidate]
    scores: dict[str, float]


@dataclass(slots=True)
class _LexicalArm:
    """What the lexical arm asked with and found. Scores grow by those of the other arm's passages."""

    query: Query
    coverage: float
    candidates: list[Candidate]
    scores: dict[str, float]


class PassageSearch:
    """Runs both arms at once, completes each arm's list with the other's passages, and fuses."""

    def __init__(self, embedder: TextEmbedder, analyzer: Analyzer, index: VectorIndex) -> None:
        self._embedder = embedder
        self._analyzer = analyzer
        self._index = index

    async def search(self, organisation_id: str, request: SearchRequest) -> SearchResult:
        """Search one organisation's passages. The query is plain text.

        Raises:
            AppError: EMPTY_QUERY, QUERY_TOO_LONG, LIMIT_OUT_OF_RANGE, SEARCH_TOO_DEEP; what the model or the index raise.
        """
        _check(request)
        timings = SearchTimings()
        # One more than asked for, to know whether there is one.
        depth = max(_CANDIDATES, request.offset + request.limit + 1)
        dense, lexical = await concurrently(
            self._run_dense(organisation_id, request, depth, timings), self._run_lexical(organisation_id, request, depth, timings)
        )
        started = time.perf_counter()
        ranked = await self._fuse(organisation_id, dense, lexical)
        timings.fuse = time.perf_counter() - started
        end = request.offset + request.limit
        return SearchResult(ranked[request.offset : end], has_more=len(ranked) > end, timings=timings)

    async def _run_dense(self, organisation_id: str, request: SearchRequest, depth: int, timings: SearchTimings) -> _DenseArm | None:
        if request.mode is Mode.LEXICAL:
            return None
        started = time.perf_counter()
        urgency = Urgency(Lane.INTERACTIVE, request.seconds_left)
        vector = (await self._embedder.embed([request.query], Task.QUERY, organisation_id, urgency)).matrix()[0]
        (tokens,) = await self._embedder.locate_tokens([request.query])
        embedded = time.perf_counter()
        candidates = await self._index.search_dense(organisation_id, vector, request.scope, depth)
        timings.embed = embedded - started
        timings.retrieve = max(timings.retrieve, time.perf_counter() - embedded)
        return _DenseArm(vector, len(tokens), candidates, _scores(candidates))

    async def _run_lexical(self, organisation_id: str, request: SearchRequest, depth: int, timings: SearchTimings) -> _LexicalArm | None:
        if request.mode is Mode.DENSE:
            return None
        started = time.perf_counter()
        query = await asyncio.to_thread(self._analyzer.query, request.query)
        analysed = time.perf_counter()
        timings.analyse = analysed - started
        if not query.words:
            return None
        candidates = await self._index.search_lexical(organisation_id, query.terms, request.scope, depth)
        best = [candidate.passage_id for candidate in candidates[:1]]
        coverage = [query.coverage(terms) for terms in (await self._index.fetch_terms(organisation_id, best)).values()]
        timings.retrieve = max(timings.retrieve, time.perf_counter() - analysed)
        return _LexicalArm(query, max(coverage, default=0.0), candidates, _scores(candidates))

    async def _fuse(self, organisation_id: str, dense: _DenseArm | None, lexical: _LexicalArm | None) -> list[Hit]:
        alpha = 1.0
        if dense and lexical:
            await self._complete(organisation_id, dense, lexical)
            alpha = dense_weight(coverage=lexical.coverage, tokens_a_word=dense.token_count / lexical.query.word_count)
        found = {candidate.passage_id: candidate for arm in (dense, lexical) if arm for candidate in arm.candidates}
        return [
            Hit(
                passage_id=fused.passage_id,
                document_id=found[fused.passage_id].document_id,
                generation=found[fused.passage_id].generation,
                score=fused.fused,
                dense=fused.dense if dense else None,
                lexical=fused.lexical if lexical else None,
            )
            for fused in fuse(dense.scores if dense else None, lexical.scores if lexical else None, alpha=alpha)
        ]

    async def _complete(self, organisation_id: str, dense: _DenseArm, lexical: _LexicalArm) -> None:
        """Give each arm the true scores of what only the other one listed."""
        missed_by_dense = [passage_id for passage_id in lexical.scores if passage_id not in dense.scores]
        missed_by_lexical = [passage_id for passage_id in dense.scores if passage_id not in lexical.scores]
        more_dense, more_lexical = await concurrently(
            self._index.dense_scores(organisation_id, dense.vector, missed_by_dense),
            self._index.lexical_scores(organisation_id, lexical.query.terms, missed_by_lexical),
        )
        dense.scores |= more_dense
        lexical.scores |= more_lexical


def _scores(candidates: list[Candidate]) -> dict[str, float]:
    return {candidate.passage_id: candidate.score for candidate in candidates}


def _check(request: SearchRequest) -> None:
    if not request.query.strip():
        raise errors.empty_query()
    if len(request.query) > MAX_QUERY_CHARACTERS:
        raise errors.query_too_long(len(request.query), MAX_QUERY_CHARACTERS)
    if not 1 <= request.limit <= MAX_LIMIT:
        raise errors.limit_out_of_range(request.limit, MAX_LIMIT)
    if request.offset + request.limit > MAX_DEPTH:
        raise errors.search_too_deep(request.offset + request.limit, MAX_DEPTH)
