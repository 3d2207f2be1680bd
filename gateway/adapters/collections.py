"""Collections, at the ingestor."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Final

import grpc

from gateway.adapters.peers import calling
from gateway.convert import from_json, to_collection
from gateway.domain.collections import Collection, CollectionChange, CollectionDeleted, CollectionSettings
from gateway.domain.listing import Listing, PageRequest
from gateway.domain.strict_json import JsonValue
from lectern.ingestor.v1 import collections_pb2 as pb
from lectern.ingestor.v1.collections_pb2_grpc import CollectionServiceStub
from shared.caller import current_caller

# How long another gateway process may still search a collection under a name that it lost, or get nothing from one that is deleted.
FOUND_SECONDS: Final = 1.0
_MOST_FOUND: Final = 1000


class IngestorCollections:
    """`gateway.domain.collections.Collections` and `gateway.domain.scope.CollectionFinder` over gRPC."""

    def __init__(self, channel: grpc.aio.Channel, timeout_seconds: float) -> None:
        self._stub = CollectionServiceStub(channel)
        self._timeout = timeout_seconds
        self._found: dict[tuple[str, tuple[str, ...]], tuple[float, Sequence[Collection]]] = {}

    async def create(self, name: str, description: str, metadata: Mapping[str, JsonValue], settings: CollectionSettings) -> Collection:
        request = pb.CreateCollectionRequest(
            name=name, description=description, metadata=from_json(metadata), settings=_from_settings(settings)
        )
        with calling("ingestor"):
            return to_collection((await self._stub.CreateCollection(request, timeout=self._timeout)).collection)

    async def get(self, collection: str) -> Collection:
        with calling("ingestor"):
            response = await self._stub.GetCollection(pb.GetCollectionRequest(collection=collection), timeout=self._timeout)
        return to_collection(response.collection)

    async def list(self, page: PageRequest) -> Listing[Collection]:
        request = pb.ListCollectionsRequest(page_size=page.size, page_token=page.token)
        with calling("ingestor"):
            response = await self._stub.ListCollections(request, timeout=self._timeout)
        return Listing([to_collection(message) for message in response.collections], response.next_page_token)

    async def find(self, collections: Sequence[str]) -> Sequence[Collection]:
        key = current_caller().organisation_id, tuple(collections)
        found_at, found = self._found.get(key, (0.0, ()))
        if found and time.monotonic() - found_at < FOUND_SECONDS:
            return found
        kept = self._found
        began = time.monotonic()
        found = await self._find(collections)
        known = {name for each in found for name in (each.name, each.collection_id)}
        # Not when a change came in between, which has begun a new dictionary, and not what lacks a name: that may come to be at any time.
        if kept is self._found and known.issuperset(collections):
            if len(kept) >= _MOST_FOUND:
                kept.clear()
            kept[key] = began, found
        return found

    async def _find(self, collections: Sequence[str]) -> Sequence[Collection]:
        # A name may also be the id of another: at most two rows for each.
        request = pb.ListCollectionsRequest(page_size=2 * len(collections), collections=collections, without_counts=True)
        with calling("ingestor"):
            response = await self._stub.ListCollections(request, timeout=self._timeout)
        return [to_collection(message) for message in response.collections]

    async def update(self, collection: str, change: CollectionChange) -> Collection:
        request = pb.UpdateCollectionRequest(
            collection=collection,
            name=change.name,
            description=change.description,
            metadata=None if change.metadata is None else from_json(change.metadata),
            settings=None if change.settings is None else _from_settings(change.settings),
        )
        try:
            with calling("ingestor"):
                return to_collection((await self._stub.UpdateCollection(request, timeout=self._timeout)).collection)
        finally:
            self._found = {}

    async def delete(self, collection: str) -> CollectionDeleted:
        try:
            with calling("ingestor"):
                response = await self._stub.DeleteCollection(pb.DeleteCollectionRequest(collection=collection), timeout=self._timeout)
        finally:
            self._found = {}
        return CollectionDeleted(response.document_count, response.job_id)


def _from_settings(settings: CollectionSettings) -> pb.CollectionSettings:
    return pb.CollectionSettings(passage_tokens=settings.passage_tokens)
