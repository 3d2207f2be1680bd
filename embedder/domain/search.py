"""Finds passages by meaning and by words."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import Enum

import numpy as np

from embedder import errors
from embedder.domain.analysis.analyzer import Analyzer
from embedder.domain.analysis.query import Query
from embedder.domain.batching import Lane
from embedder.domain.bm25 import Bm25
from embedder.domain.concurrency import concurrently
from embedder.domain.embedding import TextEmbedder, Urgency
from embedder.domain.encoding import Task, Vectors
from embedder.domain.explanation import HitExplanation, SearchExplanation, held_clauses, matched_words
from embedder.domain.filters import Scope
from embedder.domain.fusion import FusedScore, dense_weight, fuse
from embedder.domain.index import VectorIndex
from embedder.domain.passages import Candidate
from embedder.domain.statistics import StatisticsCache

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
    explain: bool = False
    seconds_left: float | None = None


@dataclass(frozen=True, slots=True)
class Hit:
    """One passage found.

    Attributes:
        score: between 0 and 1; comparable within one search only.
        dense, lexical: the arms' own scores; None when the arm did not run.
        explanation: None unless it was asked for.
    """

    passage_id: str
    document_id: str
    generation: int
    score: float
    dense: float | None
    lexical: float | None
    explanation: HitExplanation | None = None


@dataclass(slots=True)
class SearchTimings:
    """Where the time went, in seconds."""

    embed: float = 0.0
    analyse: float = 0.0
    retrieve: float = 0.0
    fuse: float = 0.0
    explain: float = 0.0
    total: float = 0.0


@dataclass(frozen=True, slots=True)
class SearchResult:
    hits: list[Hit]
    has_more: bool
    timings: SearchTimings = field(default_factory=SearchTimings)
    explanation: SearchExplanation | None = None


class PassageSearch:
    """Lets both arms propose candidates at once, measures every candidate by both, and fuses."""

    def __init__(self, embedder: TextEmbedder, analyzer: Analyzer, index: VectorIndex, statistics: StatisticsCache) -> None:
        self._embedder = embedder
        self._analyzer = analyzer
        self._index = index
        self._statistics = statistics

    async def search(self, organisation_id: str, request: SearchRequest) -> SearchResult:
        """Search one organisation's passages. The query is plain text.

        Raises:
            AppError: EMPTY_QUERY, QUERY_TOO_LONG, LIMIT_OUT_OF_RANGE, SEARCH_TOO_DEEP; what the model or the index raise.
        """
        _check(request)
        began = time.perf_counter()
        timings = SearchTimings()
        # One more than asked for, to know whether there is one.
        depth = max(_CANDIDATES, request.offset + request.limit + 1)
        dense, lexical = await concurrently(
            self._run_dense(organisation_id, request, depth, timings), self._run_lexical(organisation_id, request, depth, timings)
        )
        started = time.perf_counter()
        ranking = await asyncio.to_thread(_rank, dense, lexical)
        timings.fuse = time.perf_counter() - started
        end = request.offset + request.limit
        result = SearchResult(ranking.hits(request.offset, end), has_more=len(ranking.scores) > end, timings=timings)
        if request.explain:
            result = await self._explained(organisation_id, request, ranking, result)
        timings.total = time.perf_counter() - began
        return result

    async def _explained(self, organisation_id: str, request: SearchRequest, ranking: _Ranking, result: SearchResult) -> SearchResult:
        started = time.perf_counter()
        held = await held_clauses(self._index, organisation_id, [hit.passage_id for hit in result.hits], request.scope.filter)
        scores = {score.passage_id: score for score in ranking.scores[request.offset :][: request.limit]}
        hits = [replace(hit, explanation=ranking.explanation(scores[hit.passage_id], held[hit.passage_id])) for hit in result.hits]
        result.timings.explain = time.perf_counter() - started
        query = ranking.lexical.query if ranking.lexical else None
        return replace(result, hits=hits, explanation=SearchExplanation(ranking.dense_weight, query))

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
        return _DenseArm(vector, len(tokens), candidates)

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
        statistics = await self._statistics.get(organisation_id)
        timings.retrieve = max(timings.retrieve, time.perf_counter() - analysed)
        return _LexicalArm(query, Bm25(query, statistics), candidates)


@dataclass(frozen=True, slots=True)
class _DenseArm:
    """What the dense arm asked with and found."""

    vector: Vectors
    token_count: int
    candidates: list[Candidate]

    def measure(self, candidate: Candidate) -> float:
        """The candidate's cosine to the query, whichever arm proposed it."""
        if candidate.vector is None:
            return candidate.cosine or 0.0
        return float(self.vector @ candidate.vector / np.linalg.norm(self.vector))


@dataclass(frozen=True, slots=True)
class _LexicalArm:
    """What the lexical arm asked with and found."""

    query: Query
    bm25: Bm25
    candidates: list[Candidate]

    def coverage(self) -> float:
        """How much of the query its best match has."""
        return max((self.bm25.coverage(candidate.terms) for candidate in self.candidates[:1]), default=0.0)


@dataclass(frozen=True, slots=True)
class _Ranking:
    """Every candidate of both arms, best first, with what they were measured by."""

    dense: _DenseArm | None
    lexical: _LexicalArm | None
    dense_weight: float
    candidates: Mapping[str, Candidate]
    scores: list[FusedScore]

    def hits(self, start: int, end: int) -> list[Hit]:
        return [self._hit(score, self.candidates[score.passage_id]) for score in self.scores[start:end]]

    def _hit(self, score: FusedScore, candidate: Candidate) -> Hit:
        return Hit(
            passage_id=candidate.passage_id,
            document_id=candidate.document_id,
            generation=candidate.generation,
            score=score.fused,
            dense=score.dense if self.dense else None,
            lexical=score.lexical if self.lexical else None,
        )

    def explanation(self, score: FusedScore, held: tuple[int, ...]) -> HitExplanation:
        arm, terms = self.lexical, self.candidates[score.passage_id].terms
        return HitExplanation(score.dense_share, score.lexical_share, matched_words(arm.query, arm.bm25, terms) if arm else (), held)


def _rank(dense: _DenseArm | None, lexical: _LexicalArm | None) -> _Ranking:
    candidates = {candidate.passage_id: candidate for arm in (lexical, dense) if arm for candidate in arm.candidates}
    cosines = {passage_id: dense.measure(candidate) for passage_id, candidate in candidates.items()} if dense else None
    bm25 = {passage_id: lexical.bm25.score(candidate.terms) for passage_id, candidate in candidates.items()} if lexical else None
    alpha = 1.0 if dense else 0.0
    if dense and lexical:
        alpha = dense_weight(coverage=lexical.coverage(), tokens_a_word=dense.token_count / lexical.query.length)
    return _Ranking(dense, lexical, alpha, candidates, fuse(cosines, bm25, alpha=alpha))


def _check(request: SearchRequest) -> None:
    if not request.query.strip():
        raise errors.empty_query()
    if len(request.query) > MAX_QUERY_CHARACTERS:
        raise errors.query_too_long(len(request.query), MAX_QUERY_CHARACTERS)
    if not 1 <= request.limit <= MAX_LIMIT:
        raise errors.limit_out_of_range(request.limit, MAX_LIMIT)
    if request.offset + request.limit > MAX_DEPTH:
        raise errors.search_too_deep(request.offset + request.limit, MAX_DEPTH)
