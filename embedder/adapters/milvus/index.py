"""Passages in Milvus."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import numpy as np
from pymilvus import MilvusClient

from embedder.adapters.milvus import expressions
from embedder.adapters.milvus.connection import MilvusConnection
from embedder.adapters.milvus.lite import LiteFlusher
from embedder.adapters.milvus.schema import to_row
from embedder.domain.encoding import EncoderSpec, Vectors
from embedder.domain.filters import Scope
from embedder.domain.passages import Candidate, IndexedPassage
from shared.errors import AppError

Part = TypeVar("Part")
_READ_SECONDS = 10.0
_WRITE_SECONDS = 30.0
# Rows in one upsert: below every server's message limit at any dimension in use.
_ROWS_AT_ONCE = 256
# Ids in one expression: parsed in milliseconds, and far below the 16,384 rows that one query may return.
_IDS_AT_ONCE = 1_000
_HIT_COLUMNS = ["row_key", "document_id", "generation"]


class MilvusIndex:
    """One collection behind an alias, partitioned by organisation.

    Writes are made one at a time: Milvus Lite takes no more, and a server gains nothing from more.
    """

    def __init__(self, uri: str, token: str, alias: str, spec: EncoderSpec) -> None:
        self._connection = MilvusConnection(uri, token, alias, spec)
        self._alias = alias
        self._writing = asyncio.Lock()
        self._flusher = LiteFlusher(self._flush)

    @property
    def physical_collection(self) -> str:
        return self._connection.physical_collection

    async def upsert(self, organisation_id: str, rows: Sequence[IndexedPassage]) -> None:
        for part in _parts(rows, _ROWS_AT_ONCE):

            def write(client: MilvusClient, part: Sequence[IndexedPassage] = part) -> None:
                client.upsert(self._alias, [to_row(organisation_id, row) for row in part], timeout=_WRITE_SECONDS)

            async with self._writing:
                await self._connection.call(write)
                if self._connection.lite:
                    await self._flusher.written(len(part))

    async def search_dense(self, organisation_id: str, vector: Vectors, scope: Scope, limit: int) -> list[Candidate]:
        return await self._search("dense", vector, expressions.of_scope(organisation_id, scope), limit)

    async def search_lexical(self, organisation_id: str, terms: str, scope: Scope, limit: int) -> list[Candidate]:
        return await self._search("sparse", terms, expressions.of_scope(organisation_id, scope), limit)

    async def dense_scores(self, organisation_id: str, vector: Vectors, passage_ids: Sequence[str]) -> dict[str, float]:
        unit = vector / np.linalg.norm(vector)
        stored = await self.fetch_vectors(organisation_id, passage_ids)
        return {passage_id: float(unit @ held / np.linalg.norm(held)) for passage_id, held in stored.items()}

    async def lexical_scores(self, organisation_id: str, terms: str, passage_ids: Sequence[str]) -> dict[str, float]:
        scores: dict[str, float] = {}
        for part in _parts(passage_ids, _IDS_AT_ONCE):
            expression = expressions.of_passages(organisation_id, part)
            scores |= {candidate.passage_id: candidate.score for candidate in await self._search("sparse", terms, expression, len(part))}
        return scores

    async def fetch_vectors(self, organisation_id: str, passage_ids: Sequence[str]) -> Mapping[str, Vectors]:
        rows = await self._fetch(organisation_id, passage_ids, ["row_key", "dense"])
        return {_passage_id(row["row_key"]): np.asarray(row["dense"], dtype=np.float32) for row in rows}

    async def fetch_terms(self, organisation_id: str, passage_ids: Sequence[str]) -> Mapping[str, str]:
        rows = await self._fetch(organisation_id, passage_ids, ["row_key", "terms"])
        return {_passage_id(row["row_key"]): row["terms"] for row in rows}

    async def find_missing(self, organisation_id: str, passage_ids: Sequence[str]) -> list[str]:
        rows = await self._fetch(organisation_id, passage_ids, ["row_key"], strong=True)
        held = {_passage_id(row["row_key"]) for row in rows}
        return [passage_id for passage_id in passage_ids if passage_id not in held]

    async def delete_document(self, organisation_id: str, document_id: str, before_generation: int | None) -> tuple[int, int]:
        expression = expressions.of_document(organisation_id, document_id, before_generation)
        before = await self._count(expression)
        if before == 0:
            return 0, 0
        async with self._writing:
            await self._connection.call(lambda client: client.delete(self._alias, filter=expression, timeout=_WRITE_SECONDS))
        return before, await self._count(expression)

    async def count(self, organisation_id: str, collection_id: str | None) -> int:
        conditions = () if collection_id is None else (f"collection_id == {expressions.literal(collection_id)}",)
        return await self._count(expressions.of_organisation(organisation_id, *conditions))

    async def is_serving(self) -> bool:
        try:
            await self._query(expressions.of_passages("", [""]), ["row_key"])
        except AppError:
            return False
        return True

    async def close(self) -> None:
        await self._flusher.close()
        await self._connection.close()

    async def _search(self, column: str, query: Vectors | str, expression: str, limit: int) -> list[Candidate]:
        def search(client: MilvusClient) -> list[Any]:
            found = client.search(
                self._alias,
                data=[query],
                anns_field=column,
                filter=expression,
                limit=limit,
                output_fields=_HIT_COLUMNS,
                timeout=_READ_SECONDS,
            )
            return list(found[0])

        async with self._reading():
            hits = await self._connection.call(search)
        return [
            # Lite gives BM25 scores as negative distances, a server as they are.
            Candidate(
                _passage_id(hit["row_key"]), hit["entity"]["document_id"], hit["entity"]["generation"], _score(column, hit["distance"])
            )
            for hit in hits
        ]

    async def _fetch(
        self, organisation_id: str, passage_ids: Sequence[str], columns: list[str], *, strong: bool = False
    ) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = []
        for part in _parts(passage_ids, _IDS_AT_ONCE):
            rows += await self._query(expressions.of_passages(organisation_id, part), columns, strong=strong)
        return rows

    async def _query(self, expression: str, columns: list[str], *, strong: bool = False) -> list[dict[str, Any]]:
        consistency = {"consistency_level": "Strong"} if strong else {}

        def query(client: MilvusClient) -> list[dict[str, Any]]:
            return list(client.query(self._alias, filter=expression, output_fields=columns, timeout=_READ_SECONDS, **consistency))

        async with self._reading():
            return await self._connection.call(query)

    async def _count(self, expression: str) -> int:
        rows = await self._query(expression, ["count(*)"], strong=True)
        return int(rows[0]["count(*)"])

    async def _flush(self) -> None:
        await self._connection.call(lambda client: client.flush(self.physical_collection, timeout=_WRITE_SECONDS))

    @asynccontextmanager
    async def _reading(self) -> AsyncIterator[None]:
        if not self._connection.lite:
            yield
            return
        async with self._flusher.reading():
            yield


def _score(column: str, distance: float) -> float:
    return abs(distance) if column == "sparse" else distance


def _passage_id(key: str) -> str:
    return key.partition("/")[2]


def _parts(items: Sequence[Part], size: int) -> Iterator[Sequence[Part]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]
