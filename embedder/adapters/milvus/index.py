"""Passages in Milvus."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np
from pymilvus import MilvusClient

from embedder.adapters.milvus import expressions
from embedder.adapters.milvus.connection import MilvusConnection
from embedder.adapters.milvus.lite import LiteGate
from embedder.adapters.milvus.schema import FINGERPRINT, to_row, unit
from embedder.domain.encoding import EncoderSpec, Vectors
from embedder.domain.filters import Filter, Scope
from embedder.domain.passages import Candidate, Deleted, Generations, HeldPassage, IndexedPassage
from shared.errors import AppError

Part = TypeVar("Part")
_READ_SECONDS = 10.0
_WRITE_SECONDS = 30.0
# Rows in one upsert: below every server's message limit at any dimension in use.
_ROWS_AT_ONCE = 256
# Ids in one expression: parsed in milliseconds, and far below the 16,384 rows that one query may return.
_IDS_AT_ONCE = 1_000
_KEYS_AT_ONCE = 8_192


class MilvusIndex:
    """One collection, behind an alias or on its way there, partitioned by organisation.

    Writes are made one at a time and flushed as Milvus Lite needs it; a server is not told to flush, and loses nothing by the rest.
    """

    def __init__(self, uri: str, token: str, alias: str, spec: EncoderSpec, *, collection: str = "") -> None:
        """Read and write what is behind ``alias``, or the ``collection`` that is to come there."""
        self._connection = MilvusConnection(uri, token, alias, spec, collection=collection)
        self._name = self._connection.name
        self._gate = LiteGate(self._flush)

    @property
    def physical_collection(self) -> str:
        return self._connection.physical_collection

    async def upsert(self, organisation_id: str, rows: Sequence[IndexedPassage]) -> None:
        for part in _parts(rows, _ROWS_AT_ONCE):

            def write(client: MilvusClient, part: Sequence[IndexedPassage] = part) -> None:
                fingerprints = self._connection.has_fingerprints
                client.upsert(self._name, [to_row(organisation_id, row, fingerprints=fingerprints) for row in part], timeout=_WRITE_SECONDS)

            await self._gate.write(self._connection.call(write), rows=len(part))

    async def search_dense(self, organisation_id: str, vector: Vectors, scope: Scope, limit: int) -> list[Candidate]:
        hits = await self._search("dense", unit(vector), expressions.of_scope(organisation_id, scope), limit, ["terms"])
        return [_candidate(hit["entity"], cosine=hit["distance"]) for hit in hits]

    async def search_lexical(self, organisation_id: str, terms: str, scope: Scope, limit: int) -> list[Candidate]:
        hits = await self._search("sparse", terms, expressions.of_scope(organisation_id, scope), limit, ["terms", "dense"])
        return [_candidate(hit["entity"], vector=_vector(hit["entity"])) for hit in hits]

    async def sample_terms(self, organisation_id: str, count: int) -> list[str]:
        rows = await self._connection.call(lambda client: client.get_collection_stats(self._name, timeout=_READ_SECONDS))
        share = min(1.0, count / max(int(rows["row_count"]), 1))
        while True:
            expression = expressions.of_slice(organisation_id, share, start=secrets.randbelow(1 << 16) / (1 << 16))
            sampled = await self._query(expression, ["terms"], limit=count)
            if share == 1 or len(sampled) > count // 2:
                return [row["terms"] for row in sampled]
            share = min(1.0, share * 4)

    async def fetch_vectors(self, organisation_id: str, passage_ids: Sequence[str]) -> Mapping[str, Vectors]:
        rows = await self._fetch(organisation_id, passage_ids, ["row_key", "dense"])
        return {expressions.passage_id(row["row_key"]): _vector(row) for row in rows}

    async def satisfying(self, organisation_id: str, passage_ids: Sequence[str], condition: Filter) -> set[str]:
        rows: list[dict[str, Any]] = []
        for part in _parts(passage_ids, _IDS_AT_ONCE):
            rows += await self._query(expressions.of_satisfying(organisation_id, part, condition), ["row_key"])
        return {expressions.passage_id(row["row_key"]) for row in rows}

    async def find_missing(self, organisation_id: str, passage_ids: Sequence[str]) -> list[str]:
        rows = await self._fetch(organisation_id, passage_ids, ["row_key"], strong=True)
        held = {expressions.passage_id(row["row_key"]) for row in rows}
        return [passage_id for passage_id in passage_ids if passage_id not in held]

    async def delete_documents(self, organisation_id: str, documents: Mapping[str, Generations]) -> Mapping[str, Deleted]:
        doomed = await self._keys(organisation_id, documents)
        for part in _parts([key for keys in doomed.values() for key in keys], _IDS_AT_ONCE):
            await self._delete(expressions.of_keys(part))
        left = await self._keys(organisation_id, documents) if any(doomed.values()) else doomed
        return {document_id: Deleted(len(keys), len(left[document_id])) for document_id, keys in doomed.items()}

    async def delete_passages(self, organisation_id: str, passage_ids: Sequence[str]) -> Deleted:
        before = len(await self._fetch(organisation_id, passage_ids, ["row_key"], strong=True))
        for part in _parts(passage_ids, _IDS_AT_ONCE):
            await self._delete(expressions.of_passages(organisation_id, part))
        return Deleted(before, len(await self._fetch(organisation_id, passage_ids, ["row_key"], strong=True)))

    async def scan(self, organisation_id: str, after: str, limit: int) -> list[HeldPassage]:
        columns = ["row_key", "document_id", "generation", "collection_id"]
        if await self._connection.call(lambda _: self._connection.has_fingerprints):
            columns.append(FINGERPRINT)
        rows = await self._query_in_order(expressions.following(organisation_id, after), columns, limit)
        return [_held(row) for row in rows]

    async def organisations(self) -> list[str]:
        found: list[str] = []
        expression = 'row_key >= ""'
        while rows := await self._query_in_order(expression, ["row_key"], 1):
            found.append(expressions.organisation_of(rows[0]["row_key"]))
            expression = expressions.beyond(found[-1])
        return found

    async def count(self, organisation_id: str, collection_id: str | None) -> int:
        conditions = () if collection_id is None else (f"collection_id == {expressions.literal(collection_id)}",)
        return await self._count(expressions.of_organisation(organisation_id, *conditions))

    async def follow_alias(self) -> None:
        """Take note that the alias was moved."""
        await self._connection.follow_alias()

    async def seal(self) -> None:
        """Bring what was written to where no flush will hide it for a moment."""
        await self._gate.seal()

    async def is_serving(self) -> bool:
        try:
            await self._query(expressions.of_passages("", [""]), ["row_key"])
        except AppError:
            return False
        return True

    async def close(self) -> None:
        await self._gate.close()
        await self._connection.close()

    async def _search(self, column: str, query: Vectors | str, expression: str, limit: int, columns: list[str]) -> list[Any]:
        def search(client: MilvusClient) -> list[Any]:
            found = client.search(
                self._name,
                data=[query],
                anns_field=column,
                filter=expression,
                limit=limit,
                output_fields=["row_key", "document_id", "generation", *columns],
                timeout=_READ_SECONDS,
            )
            return list(found[0])

        async with self._gate.reading():
            return await self._connection.call(search)

    async def _fetch(
        self, organisation_id: str, passage_ids: Sequence[str], columns: list[str], *, strong: bool = False
    ) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = []
        for part in _parts(passage_ids, _IDS_AT_ONCE):
            rows += await self._query(expressions.of_passages(organisation_id, part), columns, strong=strong)
        return rows

    async def _query(self, expression: str, columns: list[str], *, strong: bool = False, limit: int | None = None) -> list[dict[str, Any]]:
        options = ({"consistency_level": "Strong"} if strong else {}) | ({"limit": limit} if limit else {})

        def query(client: MilvusClient) -> list[dict[str, Any]]:
            return list(client.query(self._name, filter=expression, output_fields=columns, timeout=_READ_SECONDS, **options))

        async with self._gate.reading():
            return await self._connection.call(query)

    async def _keys(self, organisation_id: str, documents: Mapping[str, Generations]) -> dict[str, list[str]]:
        """The keys of the rows of some generations of documents. Sees every write that has returned.

        A query for one document costs Lite as much as one for all of them.
        """
        keys: dict[str, list[str]] = {document_id: [] for document_id in documents}
        after = ""
        while True:
            expression = expressions.of_documents(organisation_id, list(documents), after)
            rows = await self._query_in_order(expression, ["row_key", "document_id", "generation"], _KEYS_AT_ONCE)
            for row in rows:
                if row["generation"] in documents[row["document_id"]]:
                    keys[row["document_id"]].append(row["row_key"])
            if len(rows) < _KEYS_AT_ONCE:
                return keys
            after = rows[-1]["row_key"]

    async def _query_in_order(self, expression: str, columns: list[str], limit: int) -> list[dict[str, Any]]:
        """The first ``limit`` rows by their keys, asked for as the client's own iterator does; otherwise they come in no order."""

        def query(client: MilvusClient) -> list[dict[str, Any]]:
            return list(
                client.query(
                    self._name,
                    filter=expression,
                    output_fields=columns,
                    limit=limit,
                    timeout=_READ_SECONDS,
                    consistency_level="Strong",
                    iterator="True",
                    reduce_stop_for_best="True",
                )
            )

        async with self._gate.reading():
            return await self._connection.call(query)

    async def _delete(self, expression: str) -> None:
        def delete(client: MilvusClient) -> None:
            client.delete(self._name, filter=expression, timeout=_WRITE_SECONDS)

        await self._gate.write(self._connection.call(delete), rows=0)

    async def _count(self, expression: str) -> int:
        rows = await self._query(expression, ["count(*)"], strong=True)
        return int(rows[0]["count(*)"])

    async def _flush(self) -> None:
        if self._connection.lite:
            await self._connection.call(lambda client: client.flush(self.physical_collection, timeout=_WRITE_SECONDS))


def _candidate(row: dict[str, Any], *, cosine: float | None = None, vector: Vectors | None = None) -> Candidate:
    return Candidate(expressions.passage_id(row["row_key"]), row["document_id"], row["generation"], row["terms"], cosine, vector)


def _held(row: dict[str, Any]) -> HeldPassage:
    key = expressions.passage_id(row["row_key"])
    return HeldPassage(key, row["document_id"], row["generation"], row["collection_id"], row.get(FINGERPRINT, ""))


def _vector(row: dict[str, Any]) -> Vectors:
    return np.asarray(row["dense"], dtype=np.float32)


def _parts(items: Sequence[Part], size: int) -> Iterator[Sequence[Part]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]
