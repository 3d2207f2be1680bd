"""A collection that is built beside the one that answers, and takes its place, in a real Milvus Lite."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Awaitable
from dataclasses import replace

import numpy as np
import pytest
from pymilvus import MilvusClient

from embedder.adapters.milvus.collections import MilvusCollections
from embedder.adapters.milvus.index import MilvusIndex
from embedder.domain.encoding import EncoderSpec
from embedder.domain.filters import Scope
from embedder.domain.index import Succession
from embedder.domain.passages import IndexedPassage, Passage, PassageAttributes
from shared.errors import AppError

SPEC = EncoderSpec("built", "0" * 64, 4, 256, normalised=False)


class World:
    """One alias, the index behind it and its collections."""

    def __init__(self, uri: str) -> None:
        self.alias = f"built_{secrets.token_hex(4)}"
        self.client = MilvusClient(uri)
        self.serving = MilvusIndex(uri, "", self.alias, SPEC)
        self.collections = MilvusCollections(uri, "", self.alias, SPEC, self.serving)

    async def found(self) -> set[str]:
        vector = np.array([1, 0, 0, 0], dtype=np.float32)
        return {hit.passage_id for hit in await self.serving.search_dense("org", vector, Scope(), 10)}


@pytest.fixture
async def world(milvus_uri: str) -> AsyncIterator[World]:
    made = World(milvus_uri)
    yield made
    await made.collections.close()
    await made.serving.close()
    made.client.close()


def row(passage_id: str) -> IndexedPassage:
    passage = Passage(passage_id, "document", 1, "text", PassageAttributes("collection"))
    return IndexedPassage(passage, np.array([1, 0, 0, 0], dtype=np.float32), "word")


async def reason_of(call: Awaitable[object]) -> str:
    with pytest.raises(AppError) as raised:
        await call
    return raised.value.reason


async def test_what_is_built_is_found_after_the_switch_and_not_before(world: World) -> None:
    await world.serving.upsert("org", [row("old")])
    succession = await world.collections.prepare()
    building = world.collections.open(succession.following)
    await building.upsert("org", [row("new")])
    assert [held.passage_id for held in await building.scan("org", "", 10)] == ["new"]
    assert await world.found() == {"old"}
    await world.collections.switch(succession)
    assert await world.found() == {"new"}
    assert world.serving.physical_collection == succession.following
    await world.serving.upsert("org", [row("newer")])
    assert await world.found() == {"new", "newer"}


async def test_a_switch_that_was_made_can_be_made_again_but_not_after_another(world: World) -> None:
    await world.serving.count("org", None)
    first = await world.collections.prepare()
    await world.collections.switch(first)
    await world.collections.switch(first)
    second = await world.collections.prepare()
    assert second == Succession(first.following, f"{first.serving}__3")
    await world.collections.switch(second)
    assert await reason_of(world.collections.switch(first)) == "INDEX_COLLECTION_MOVED"
    assert world.serving.physical_collection == second.following


@pytest.mark.slow
async def test_a_preparation_that_its_caller_gave_up_is_not_taken_apart_by_the_next(world: World) -> None:
    given_up = asyncio.create_task(world.collections.prepare())
    await asyncio.sleep(0)  # it has begun
    given_up.cancel()
    succession = await world.collections.prepare()
    await world.collections.open(succession.following).upsert("org", [row("new")])
    await world.collections.switch(succession)
    assert await world.found() == {"new"}


async def test_a_prepared_collection_is_empty_whatever_an_earlier_attempt_left(world: World) -> None:
    left = await world.collections.prepare()
    await world.collections.open(left.following).upsert("org", [row("left")])
    again = await world.collections.prepare()
    assert again == left
    assert await world.collections.open(again.following).scan("org", "", 10) == []


async def test_only_a_collection_that_does_not_answer_is_dropped(world: World) -> None:
    succession = await world.collections.prepare()
    assert await reason_of(world.collections.drop(succession.serving)) == "INDEX_COLLECTION_ANSWERS"
    await world.collections.switch(succession)
    await world.collections.drop(succession.serving)
    await world.collections.drop(succession.serving)
    assert not world.client.has_collection(succession.serving)
    assert await world.found() == set()


async def test_other_collections_are_neither_read_nor_dropped(world: World) -> None:
    succession = await world.collections.prepare()
    for name in ("passages", f"{succession.serving}__02", f"{succession.serving}x"):
        assert await reason_of(world.collections.drop(name)) == "INDEX_COLLECTION_NOT_OURS"
    never = world.collections.open(f"{succession.serving}__99")
    assert await reason_of(never.scan("org", "", 10)) == "INDEX_COLLECTION_NOT_FOUND"


async def test_an_embedder_that_starts_after_a_switch_finds_the_collection_of_its_model(world: World, milvus_uri: str) -> None:
    await world.serving.upsert("org", [row("old")])
    succession = await world.collections.prepare()
    await world.collections.switch(succession)
    later = MilvusIndex(milvus_uri, "", world.alias, SPEC)
    assert await later.count("org", None) == 0
    assert later.physical_collection == succession.following
    await later.close()
    other = MilvusIndex(milvus_uri, "", world.alias, replace(SPEC, revision="1" * 64))
    assert await reason_of(other.count("org", None)) == "INDEX_OF_OTHER_MODEL"
    await other.close()
