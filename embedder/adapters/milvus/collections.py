"""The collections that an alias has led to, leads to, and will."""

from __future__ import annotations

import asyncio

import structlog
from pymilvus import MilvusClient

from embedder import errors
from embedder.adapters.milvus.connection import ADMINISTRATION_SECONDS, CONNECT_SECONDS, MilvusConnection, collection_behind
from embedder.adapters.milvus.index import MilvusIndex
from embedder.adapters.milvus.schema import create_collection, next_name, number_of
from embedder.domain.encoding import EncoderSpec
from embedder.domain.index import Succession

log = structlog.get_logger()


class MilvusCollections:
    """`IndexCollections` of one alias and model."""

    def __init__(self, uri: str, token: str, alias: str, spec: EncoderSpec, serving: MilvusIndex) -> None:
        """``serving`` is told when the alias moves."""
        self._address = (uri, token, alias, spec)
        self._alias = alias
        self._spec = spec
        self._serving = serving
        self._connection = MilvusConnection(uri, token, alias, spec)
        self._opened: dict[str, MilvusIndex] = {}
        self._preparing: asyncio.Task[Succession] | None = None

    async def prepare(self) -> Succession:
        # Who gave up waiting asks again: a second preparation would drop what the first one still makes.
        if self._preparing is None or self._preparing.done():
            self._preparing = asyncio.create_task(self._prepare())
        return await asyncio.shield(self._preparing)

    async def _prepare(self) -> Succession:
        def prepare(client: MilvusClient) -> Succession:
            serving = collection_behind(client, self._alias) or ""
            following = next_name(serving, self._alias, self._spec)
            # One that an earlier attempt left may lack its indexes.
            client.drop_collection(following, timeout=ADMINISTRATION_SECONDS)
            create_collection(client, following, self._spec, lite=self._connection.lite, timeout=ADMINISTRATION_SECONDS)
            log.info("collection_created", collection=following)
            return Succession(serving, following)

        succession = await self._connection.call(prepare)
        await self._forget(succession.following)
        return succession

    def open(self, collection: str) -> MilvusIndex:
        self._check(collection)
        if collection not in self._opened:
            self._opened[collection] = MilvusIndex(*self._address, collection=collection)
        return self._opened[collection]

    async def switch(self, succession: Succession) -> None:
        following = succession.following

        def switch(client: MilvusClient) -> None:
            answering = collection_behind(client, self._alias)
            if answering == following:
                return
            if answering != succession.serving:
                raise errors.collection_moved(answering or "none")
            if not client.has_collection(following, timeout=CONNECT_SECONDS):
                raise errors.collection_not_found(following)
            client.load_collection(following, timeout=ADMINISTRATION_SECONDS)
            client.alter_alias(following, self._alias, timeout=ADMINISTRATION_SECONDS)
            log.info("collection_switched", collection=following)

        await self.open(following).seal()
        await self._connection.call(switch)
        await self._serving.follow_alias()

    async def drop(self, collection: str) -> None:
        self._check(collection)

        def drop(client: MilvusClient) -> None:
            if collection_behind(client, self._alias) == collection:
                raise errors.collection_answers(collection)
            if client.has_collection(collection, timeout=CONNECT_SECONDS):
                client.drop_collection(collection, timeout=ADMINISTRATION_SECONDS)
                log.info("collection_dropped", collection=collection)

        await self._connection.call(drop)
        await self._forget(collection)

    async def close(self) -> None:
        if self._preparing is not None:
            self._preparing.cancel()
        for opened in self._opened.values():
            await opened.close()
        await self._connection.close()

    async def _forget(self, collection: str) -> None:
        if opened := self._opened.pop(collection, None):
            await opened.close()

    def _check(self, collection: str) -> None:
        if number_of(collection, self._alias, self._spec) is None:
            raise errors.collection_not_ours(collection)
