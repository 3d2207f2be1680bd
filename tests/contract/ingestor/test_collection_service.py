"""CollectionService, through a real client and server."""

from __future__ import annotations

import math

import pytest

from lectern.ingestor.v1 import collections_pb2, documents_pb2
from shared.errors import Status
from tests.integration.ingestor.library import Library, error_of, struct

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_a_collection_is_found_by_its_name_and_by_its_id(library: Library) -> None:
    created = await library.create_collection("Ports & quays", description="Harbours", metadata=struct({"site": "north"}))
    assert (created.name, created.description, dict(created.metadata)) == ("Ports & quays", "Harbours", {"site": "north"})
    assert (created.document_count, created.passage_count) == (0, 0)
    for key in (created.name, created.collection_id):
        assert await library.get_collection(key) == created


async def test_a_name_can_be_used_once_in_an_organisation(library: Library) -> None:
    await library.create_collection("one")
    error = await error_of(library.create_collection("one"))
    assert (error.reason, error.status) == ("COLLECTION_EXISTS", Status.ALREADY_EXISTS)
    assert (await library.for_organisation(f"{library.organisation_id}-other").create_collection("one")).name == "one"


@pytest.mark.parametrize("name", ["", "   ", "x" * 201, "01a1f8a5-28b7-767b-b7df-4e20de701724"])
async def test_a_name_that_cannot_be_one_is_refused(library: Library, name: str) -> None:
    error = await error_of(library.create_collection(name))
    assert (error.reason, error.status) == ("COLLECTION_NAME_INVALID", Status.INVALID_ARGUMENT)


async def test_what_no_store_could_hold_is_refused(library: Library) -> None:
    assert (await error_of(library.create_collection("nul\0"))).reason == "NUL_CHARACTER"
    assert (await error_of(library.create_collection("a", metadata=struct({"key": "nul\0"})))).reason == "NUL_CHARACTER"
    assert (await error_of(library.create_collection("a", metadata=struct({"key": math.nan})))).reason == "METADATA_INVALID"
    assert (await error_of(library.create_collection("a", metadata=struct({"key": "x" * 40_000})))).reason == "METADATA_TOO_LARGE"
    deep: dict[str, object] = {}
    for _ in range(30):
        deep = {"deeper": deep}
    assert (await error_of(library.create_collection("a", metadata=struct(deep)))).reason == "METADATA_TOO_DEEP"
    assert (await error_of(library.create_collection("a", settings={"passage_tokens": 2**32 - 1}))).reason == "PASSAGE_TOKENS_OUT_OF_RANGE"
    assert (await error_of(library.get_collection("nul\0"))).reason == "NUL_CHARACTER"


async def test_collections_are_listed_by_name_in_pages(library: Library) -> None:
    for name in ("b", "d", "a", "e", "c"):
        await library.create_collection(name)
    names, token = [], ""
    while True:
        request = collections_pb2.ListCollectionsRequest(page_size=2, page_token=token)
        page = await library.call(library.collections.ListCollections, request)
        names += [collection.name for collection in page.collections]
        token = page.next_page_token
        if not token:
            break
    assert names == ["a", "b", "c", "d", "e"]


async def test_a_list_can_be_limited_to_ids_and_names(library: Library) -> None:
    by_id = await library.create_collection("a")
    for name in ("b", "c"):
        await library.create_collection(name)
    request = collections_pb2.ListCollectionsRequest(collections=[by_id.collection_id, "c", "unknown"])
    page = await library.call(library.collections.ListCollections, request)
    assert [collection.name for collection in page.collections] == ["a", "c"]


async def test_a_page_token_works_for_its_own_query_alone(library: Library) -> None:
    for name in ("a", "b"):
        await library.create_collection(name)
    list_collections = library.collections.ListCollections
    page = await library.call(list_collections, collections_pb2.ListCollectionsRequest(page_size=1))
    stranger = library.for_organisation(f"{library.organisation_id}-stranger")
    for side, request in (
        (library, collections_pb2.ListCollectionsRequest(page_token=page.next_page_token, collections=["a"])),
        (library, collections_pb2.ListCollectionsRequest(page_token="made up")),
        (stranger, collections_pb2.ListCollectionsRequest(page_token=page.next_page_token)),
    ):
        assert (await error_of(side.call(side.collections.ListCollections, request))).reason == "PAGE_TOKEN_INVALID"
    error = await error_of(library.call(list_collections, collections_pb2.ListCollectionsRequest(page_size=1001)))
    assert error.reason == "PAGE_SIZE_OUT_OF_RANGE"


async def test_an_update_changes_what_it_names_and_nothing_else(library: Library) -> None:
    created = await library.create_collection("a", description="first", metadata=struct({"k": "v"}), settings={"passage_tokens": 9})
    update = library.collections.UpdateCollection
    request = collections_pb2.UpdateCollectionRequest(collection="a", name="b")
    renamed = (await library.call(update, request)).collection
    assert (renamed.name, renamed.description, dict(renamed.metadata), renamed.settings.passage_tokens) == ("b", "first", {"k": "v"}, 9)
    request = collections_pb2.UpdateCollectionRequest(collection=created.collection_id, description="", metadata=struct({}))
    cleared = (await library.call(update, request)).collection
    assert (cleared.name, cleared.description, dict(cleared.metadata)) == ("b", "", {})
    await library.create_collection("a")
    error = await error_of(library.call(update, collections_pb2.UpdateCollectionRequest(collection="b", name="a")))
    assert error.reason == "COLLECTION_EXISTS"


async def test_counts_are_of_what_can_be_seen(library: Library) -> None:
    await library.create_collection("a")
    batch = await library.batch([documents_pb2.BatchEntry(text=f"Text {number}") for number in range(3)], collection="a")
    await library.ended(batch.job.job_id)
    collection = await library.get_collection("a")
    assert (collection.document_count, collection.passage_count) == (3, 3)


async def test_a_stranger_finds_changes_and_deletes_nothing(library: Library) -> None:
    created = await library.create_collection("secret")
    stranger = library.for_organisation(f"{library.organisation_id}-stranger")
    for name in (created.name, created.collection_id):
        for method, request in (
            (stranger.collections.GetCollection, collections_pb2.GetCollectionRequest(collection=name)),
            (stranger.collections.UpdateCollection, collections_pb2.UpdateCollectionRequest(collection=name, description="taken")),
            (stranger.collections.DeleteCollection, collections_pb2.DeleteCollectionRequest(collection=name)),
        ):
            error = await error_of(stranger.call(method, request))
            assert (error.reason, error.status) == ("COLLECTION_NOT_FOUND", Status.NOT_FOUND)
    assert await library.get_collection("secret") == created


async def test_an_empty_collection_can_be_deleted(library: Library) -> None:
    await library.create_collection("a")
    deleted = await library.call(library.collections.DeleteCollection, collections_pb2.DeleteCollectionRequest(collection="a"))
    assert deleted.document_count == 0
    assert (await library.ended(deleted.job_id)).total_count == 0
    assert (await error_of(library.get_collection("a"))).reason == "COLLECTION_NOT_FOUND"


async def test_a_list_is_counted_unless_that_is_left_out(library: Library) -> None:
    await library.create_collection("counted")
    batch = await library.batch([documents_pb2.BatchEntry(text="The crane.")], collection="counted")
    await library.ended(batch.job.job_id)
    counts = {}
    for without in (False, True):
        request = collections_pb2.ListCollectionsRequest(collections=["counted"], without_counts=without)
        [found] = (await library.call(library.collections.ListCollections, request)).collections
        counts[without] = (found.name, found.document_count, found.passage_count)
    assert counts == {False: ("counted", 1, 1), True: ("counted", 0, 0)}
