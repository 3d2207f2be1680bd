"""CollectionService."""

from __future__ import annotations

from typing import Any

import grpc

from ingestor.convert import from_metadata, to_collection
from ingestor.domain.collections import CollectionChange, Collections, NewCollection
from ingestor.servicers.pages import fitting
from lectern.ingestor.v1 import collections_pb2, collections_pb2_grpc
from shared.caller import current_caller
from shared.paging import PageTokens, page_size

Context = grpc.aio.ServicerContext[Any, Any]


class CollectionServicer(collections_pb2_grpc.CollectionServiceServicer):
    def __init__(self, collections: Collections, page_tokens: PageTokens) -> None:
        self._collections = collections
        self._page_tokens = page_tokens

    async def CreateCollection(
        self, request: collections_pb2.CreateCollectionRequest, context: Context
    ) -> collections_pb2.CreateCollectionResponse:
        new = NewCollection(request.name, request.description, from_metadata(request.metadata), request.settings.passage_tokens)
        collection = await self._collections.create(current_caller().organisation_id, new)
        return collections_pb2.CreateCollectionResponse(collection=to_collection(collection))

    async def GetCollection(self, request: collections_pb2.GetCollectionRequest, context: Context) -> collections_pb2.GetCollectionResponse:
        collection = await self._collections.get(current_caller().organisation_id, request.collection)
        return collections_pb2.GetCollectionResponse(collection=to_collection(collection))

    async def ListCollections(
        self, request: collections_pb2.ListCollectionsRequest, context: Context
    ) -> collections_pb2.ListCollectionsResponse:
        organisation_id, size = current_caller().organisation_id, page_size(request.page_size)
        query = {"list": "collections", "organisation": organisation_id, "only": "\n".join(request.collections)}
        position = self._page_tokens.decode(query, request.page_token)
        found = await self._collections.page(
            organisation_id,
            only=request.collections,
            after_name=position[0] if position else None,
            limit=size + 1,
            counted=not request.without_counts,
        )
        messages = [to_collection(collection) for collection in found]
        count = fitting(messages, size)
        token = self._page_tokens.encode(query, (found[count - 1].name,)) if count < len(found) else ""
        return collections_pb2.ListCollectionsResponse(collections=messages[:count], next_page_token=token)

    async def UpdateCollection(
        self, request: collections_pb2.UpdateCollectionRequest, context: Context
    ) -> collections_pb2.UpdateCollectionResponse:
        change = CollectionChange(
            name=request.name if request.HasField("name") else None,
            description=request.description if request.HasField("description") else None,
            metadata=from_metadata(request.metadata) if request.HasField("metadata") else None,
            passage_tokens=request.settings.passage_tokens if request.HasField("settings") else None,
        )
        collection = await self._collections.change(current_caller().organisation_id, request.collection, change)
        return collections_pb2.UpdateCollectionResponse(collection=to_collection(collection))

    async def DeleteCollection(
        self, request: collections_pb2.DeleteCollectionRequest, context: Context
    ) -> collections_pb2.DeleteCollectionResponse:
        deletion = await self._collections.delete(current_caller().organisation_id, request.collection)
        return collections_pb2.DeleteCollectionResponse(document_count=deletion.document_count, job_id=deletion.job_id)
