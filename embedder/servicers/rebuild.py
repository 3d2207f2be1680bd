"""RebuildService: the collection that is built beside the one that answers."""

from __future__ import annotations

from typing import Any

import grpc

from embedder import convert, errors
from embedder.domain.batching import Lane
from embedder.domain.embedding import Urgency
from embedder.domain.index import IndexCollections, Succession
from embedder.domain.indexing import MAX_PASSAGE_IDS, MAX_SCAN_PASSAGES, SCAN_PASSAGES, PassageIndexer
from lectern.embedder.v1 import index_pb2, rebuild_pb2, rebuild_pb2_grpc
from shared.caller import current_caller
from shared.rpc.deadline import time_remaining

Context = grpc.aio.ServicerContext[Any, Any]


class RebuildServicer(rebuild_pb2_grpc.RebuildServiceServicer):
    def __init__(self, collections: IndexCollections, indexer: PassageIndexer) -> None:
        self._collections = collections
        self._indexer = indexer

    async def PrepareCollection(
        self, request: rebuild_pb2.PrepareCollectionRequest, context: Context
    ) -> rebuild_pb2.PrepareCollectionResponse:
        _services_only()
        succession = await self._collections.prepare()
        return rebuild_pb2.PrepareCollectionResponse(collection=succession.following, serving_collection=succession.serving)

    async def BuildPassages(self, request: rebuild_pb2.BuildPassagesRequest, context: Context) -> rebuild_pb2.BuildPassagesResponse:
        organisation_id = _services_only()
        into = self._collections.open(request.collection)
        urgency = Urgency(Lane.BULK, time_remaining(), wait_for_room=True)
        batch = await self._indexer.index(organisation_id, convert.passages(request.passages), urgency, into=into)
        return rebuild_pb2.BuildPassagesResponse(
            embedded_count=batch.embedded_count,
            reused_count=batch.reused_count,
            rejected=[index_pb2.RejectedPassage(passage_id=each.passage_id, reason=each.reason) for each in batch.rejected],
        )

    async def DeleteBuiltPassages(
        self, request: rebuild_pb2.DeleteBuiltPassagesRequest, context: Context
    ) -> rebuild_pb2.DeleteBuiltPassagesResponse:
        organisation_id = _services_only()
        if len(request.passage_ids) > MAX_PASSAGE_IDS:
            raise errors.too_many_ids(len(request.passage_ids), MAX_PASSAGE_IDS)
        deleted = await self._collections.open(request.collection).delete_passages(organisation_id, request.passage_ids)
        return rebuild_pb2.DeleteBuiltPassagesResponse(deleted_count=deleted.count, remaining_count=deleted.remaining)

    async def ScanBuiltPassages(
        self, request: rebuild_pb2.ScanBuiltPassagesRequest, context: Context
    ) -> rebuild_pb2.ScanBuiltPassagesResponse:
        organisation_id = _services_only()
        if request.page_size > MAX_SCAN_PASSAGES:
            raise errors.page_too_large(request.page_size, MAX_SCAN_PASSAGES)
        index = self._collections.open(request.collection)
        held = await index.scan(organisation_id, request.after_passage_id, request.page_size or SCAN_PASSAGES)
        return rebuild_pb2.ScanBuiltPassagesResponse(passages=[convert.held_passage(each) for each in held])

    async def ListBuiltOrganisations(
        self, request: rebuild_pb2.ListBuiltOrganisationsRequest, context: Context
    ) -> rebuild_pb2.ListBuiltOrganisationsResponse:
        _services_only()
        organisations = await self._collections.open(request.collection).organisations()
        return rebuild_pb2.ListBuiltOrganisationsResponse(organisation_ids=organisations)

    async def SwitchCollection(
        self, request: rebuild_pb2.SwitchCollectionRequest, context: Context
    ) -> rebuild_pb2.SwitchCollectionResponse:
        _services_only()
        await self._collections.switch(Succession(request.serving_collection, request.collection))
        return rebuild_pb2.SwitchCollectionResponse()

    async def DropCollection(self, request: rebuild_pb2.DropCollectionRequest, context: Context) -> rebuild_pb2.DropCollectionResponse:
        _services_only()
        await self._collections.drop(request.collection)
        return rebuild_pb2.DropCollectionResponse()


def _services_only() -> str:
    """The organisation that the calling service acts for."""
    caller = current_caller()
    if not caller.is_service:
        raise errors.services_only()
    return caller.organisation_id
