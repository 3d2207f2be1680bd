"""The embedder, as a rebuild of the index sees it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import grpc

from ingestor.adapters.embedder import CALL_SECONDS, EVERY_ORGANISATION, STREAM_SECONDS, Embedder, calling, passage_messages, to_index_row
from ingestor.domain.drift import IndexRow
from ingestor.domain.pipeline.index import Attributes, StoredPassage
from ingestor.domain.rebuild import Built
from lectern.embedder.v1 import rebuild_pb2, rebuild_pb2_grpc
from shared.errors import AppError, Status


class EmbedderIndexBuilder:
    """An `IndexBuilder` over gRPC."""

    def __init__(self, channel: grpc.aio.Channel, embedder: Embedder) -> None:
        self._stub = rebuild_pb2_grpc.RebuildServiceStub(channel)
        self._embedder = embedder

    async def prepare(self) -> tuple[str, str]:
        with calling(EVERY_ORGANISATION):
            response = await self._stub.PrepareCollection(rebuild_pb2.PrepareCollectionRequest(), timeout=CALL_SECONDS)
        return response.collection, response.serving_collection

    async def build(
        self, organisation_id: str, collection: str, passages: Sequence[StoredPassage], attributes: Mapping[str, Attributes]
    ) -> Built:
        embedded, reused, rejected = 0, 0, dict[str, str]()
        for part in passage_messages(passages, [attributes[passage.document_id] for passage in passages]):
            with calling(organisation_id):
                request = rebuild_pb2.BuildPassagesRequest(collection=collection, passages=part)
                response = await self._stub.BuildPassages(request, timeout=STREAM_SECONDS)
            embedded += response.embedded_count
            reused += response.reused_count
            rejected |= {each.passage_id: each.reason for each in response.rejected}
        return Built(embedded, reused, rejected)

    async def scan(self, organisation_id: str, after: str, limit: int) -> list[IndexRow]:
        return await self._embedder.scan(organisation_id, after, limit)

    async def scan_built(self, organisation_id: str, collection: str, after: str, limit: int) -> list[IndexRow]:
        request = rebuild_pb2.ScanBuiltPassagesRequest(collection=collection, after_passage_id=after, page_size=limit)
        with calling(organisation_id):
            response = await self._stub.ScanBuiltPassages(request, timeout=CALL_SECONDS)
        return [to_index_row(row) for row in response.passages]

    async def delete_built(self, organisation_id: str, collection: str, passage_ids: Sequence[str]) -> None:
        request = rebuild_pb2.DeleteBuiltPassagesRequest(collection=collection, passage_ids=passage_ids)
        with calling(organisation_id):
            response = await self._stub.DeleteBuiltPassages(request, timeout=CALL_SECONDS)
        if response.remaining_count:
            raise AppError("VECTORS_REMAIN", Status.UNAVAILABLE, "The vector index still holds what it was told to remove.")

    async def built_organisations(self, collection: str) -> list[str]:
        request = rebuild_pb2.ListBuiltOrganisationsRequest(collection=collection)
        with calling(EVERY_ORGANISATION):
            response = await self._stub.ListBuiltOrganisations(request, timeout=CALL_SECONDS)
        return list(response.organisation_ids)

    async def switch(self, collection: str, *, serving: str) -> None:
        request = rebuild_pb2.SwitchCollectionRequest(collection=collection, serving_collection=serving)
        with calling(EVERY_ORGANISATION):
            await self._stub.SwitchCollection(request, timeout=CALL_SECONDS)

    async def drop(self, collection: str) -> None:
        with calling(EVERY_ORGANISATION):
            await self._stub.DropCollection(rebuild_pb2.DropCollectionRequest(collection=collection), timeout=CALL_SECONDS)
