"""Embeds passages and writes them to the index."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterable, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import aclosing
from dataclasses import dataclass, field

from embedder import errors
from embedder.domain.analysis.analyzer import Analyzer
from embedder.domain.batching import Lane
from embedder.domain.concurrency import in_order_ahead
from embedder.domain.embedding import TextEmbedder, Urgency
from embedder.domain.encoding import Task, Vectors
from embedder.domain.index import VectorIndex
from embedder.domain.passages import IndexedPassage, Passage
from embedder.domain.statistics import StatisticsCache
from shared.errors import AppError

MAX_PASSAGES = 512
MAX_PASSAGE_IDS = 16_384
MAX_DELETED_DOCUMENTS = 256
SCAN_PASSAGES = 1_024
MAX_SCAN_PASSAGES = 4_096
MAX_ID_CHARACTERS = 128
MAX_ATTRIBUTE_CHARACTERS = 1_024
MAX_FINGERPRINT_CHARACTERS = 64
# Milvus holds 65,536 bytes of JSON in a row.
MAX_METADATA_BYTES = 60_000
# One request is written while the next is at the model and a third is being taken in.
_REQUESTS_AHEAD = 3


@dataclass(frozen=True, slots=True)
class RejectedPassage:
    """A passage that was not written, and why."""

    passage_id: str
    reason: str


@dataclass(frozen=True, slots=True)
class IndexedBatch:
    """What became of one request's passages. Rows written are those embedded and those reused."""

    embedded_count: int
    reused_count: int
    rejected: list[RejectedPassage] = field(default_factory=list)

    @property
    def written_count(self) -> int:
        return self.embedded_count + self.reused_count


class PassageIndexer:
    """Writes passages: vectors from the model, or taken over where the text did not change; terms from the analysis."""

    def __init__(
        self, embedder: TextEmbedder, analyzer: Analyzer, index: VectorIndex, statistics: StatisticsCache, bulk_threads: Executor
    ) -> None:
        self._embedder = embedder
        self._analyzer = analyzer
        self._index = index
        self._statistics = statistics
        self._bulk_threads = bulk_threads

    async def index_stream(
        self, organisation_id: str, requests: AsyncIterable[Sequence[Passage]], *, seconds_left: float | None
    ) -> AsyncGenerator[IndexedBatch]:
        """Index each request's passages; each response is given once its rows are durable, in the order of the requests.

        Raises:
            AppError: PASSAGE_COUNT_OUT_OF_RANGE, INVALID_PASSAGE; what the model or the index raise. Requests answered before stay written.
        """
        urgency = Urgency(Lane.BULK, seconds_left, wait_for_room=True)

        async def index(passages: Sequence[Passage]) -> IndexedBatch:
            return await self.index(organisation_id, passages, urgency)

        async with aclosing(in_order_ahead(requests, index, ahead=_REQUESTS_AHEAD)) as batches:
            async for batch in batches:
                yield batch

    async def index(
        self, organisation_id: str, passages: Sequence[Passage], urgency: Urgency, *, into: VectorIndex | None = None
    ) -> IndexedBatch:
        """Index one request's passages; durable on return. Vectors are taken over from the serving index also when another is written.

        Args:
            organisation_id: whose passages.
            passages: at most `MAX_PASSAGES`.
            urgency: of what has to be embedded.
            into: where to write; None: to the serving index.

        Raises:
            AppError: as `index_stream`.
        """
        _check(passages)
        latest = list({passage.passage_id: passage for passage in passages}.values())
        reused = await self._reusable(organisation_id, latest)
        to_embed = [passage for passage in latest if passage.passage_id not in reused]
        embedded, rejected = await self._embed(organisation_id, to_embed, urgency)
        vectors = {**reused, **embedded}
        written = [passage for passage in latest if passage.passage_id in vectors]
        terms = await asyncio.get_running_loop().run_in_executor(self._bulk_threads, self._terms, written)
        rows = [IndexedPassage(passage, vectors[passage.passage_id], line) for passage, line in zip(written, terms, strict=True)]
        if rows:
            await (into or self._index).upsert(organisation_id, rows)
            if into is None:
                self._statistics.add(organisation_id, terms)
        return IndexedBatch(len(embedded), len(reused), rejected)

    def _terms(self, passages: Sequence[Passage]) -> list[str]:
        return [self._analyzer.passage_terms(passage.searchable_text) for passage in passages]

    async def _reusable(self, organisation_id: str, passages: Sequence[Passage]) -> dict[str, Vectors]:
        """Vectors by the id of the passage that takes them over."""
        wanted = {passage.passage_id: passage.take_vector_from for passage in passages if passage.take_vector_from}
        if not wanted:
            return {}
        stored: Mapping[str, Vectors] = await self._index.fetch_vectors(organisation_id, list(dict.fromkeys(wanted.values())))
        return {passage_id: stored[source] for passage_id, source in wanted.items() if source in stored}

    async def _embed(
        self, organisation_id: str, passages: Sequence[Passage], urgency: Urgency
    ) -> tuple[dict[str, Vectors], list[RejectedPassage]]:
        embedded = await self._embedder.embed([passage.searchable_text for passage in passages], Task.PASSAGE, organisation_id, urgency)
        vectors, rejected = {}, []
        for passage, row in zip(passages, embedded.rows, strict=True):
            if isinstance(row, AppError):
                if not row.reason.startswith("VECTOR_") and row.reason != "ENCODING_FAILED":
                    raise row
                rejected.append(RejectedPassage(passage.passage_id, row.reason))
            else:
                vectors[passage.passage_id] = row
        return vectors, rejected


def _check(passages: Sequence[Passage]) -> None:
    if not 1 <= len(passages) <= MAX_PASSAGES:
        raise errors.passage_count_out_of_range(len(passages), MAX_PASSAGES)
    for position, passage in enumerate(passages):
        attributes = passage.attributes
        ids = {"passage_id": passage.passage_id, "document_id": passage.document_id, "attributes.collection_id": attributes.collection_id}
        for name, value in ids.items():
            if not 1 <= len(value) <= MAX_ID_CHARACTERS:
                raise errors.invalid_passage(position, name, f"{name} must have between 1 and {MAX_ID_CHARACTERS} characters.")
        for name in ("connection_id", "type", "author", "language"):
            if len(getattr(attributes, name)) > MAX_ATTRIBUTE_CHARACTERS:
                raise errors.invalid_passage(
                    position, f"attributes.{name}", f"{name} is longer than {MAX_ATTRIBUTE_CHARACTERS} characters."
                )
        if len(passage.fingerprint) > MAX_FINGERPRINT_CHARACTERS:
            problem = f"fingerprint is longer than {MAX_FINGERPRINT_CHARACTERS} characters."
            raise errors.invalid_passage(position, "fingerprint", problem)
        if len(json.dumps(attributes.metadata)) > MAX_METADATA_BYTES:
            raise errors.invalid_passage(position, "attributes.metadata", f"metadata is longer than {MAX_METADATA_BYTES} bytes of JSON.")
        if not passage.text.strip():
            raise errors.invalid_passage(position, "text", "text has no characters to embed.")
