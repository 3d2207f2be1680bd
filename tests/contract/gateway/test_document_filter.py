from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.contract.gateway.back_services import World

FILTER = "/api/v1/filter"


async def upload(client: httpx.AsyncClient) -> None:
    await client.post("/api/v1/collections", json={"name": "handbook"})
    assert (await client.post("/api/v1/collections/handbook/documents", json={"text": "x", "name": "a.txt"})).status_code == 202


async def test_both_ways_to_write_conditions_reach_the_library_as_one_tree(client: httpx.AsyncClient, world: World) -> None:
    await upload(client)
    body = {
        "query": "type:pdf OR has:team collection_metadata.owner:ann",
        "filter": {"$or": [{"collection_metadata": {"$contained_by": {"shelf": 3}}}, {"metadata": {"$contains": {"tags": ["pay"]}}}]},
        "collections": ["handbook"],
        "page_size": 7,
    }
    response = await client.post(FILTER, json=body)
    assert response.status_code == 200
    assert [document["name"] for document in response.json()["items"]] == ["a.txt"]
    request = world.requests["FilterDocuments"][0]
    either, owner, lookups = request.filter.all_of.filters
    assert [part.comparison.field for part in either.any_of.filters] == ["type", "metadata.team"]
    assert owner.comparison.field == "collection_metadata.owner"
    by, contains = lookups.any_of.filters
    assert (by.metadata_contained_by.field, contains.metadata_contains.field) == ("collection_metadata", "metadata")
    assert contains.metadata_contains.value["tags"][0] == "pay"
    assert (list(request.collection_ids), request.page_size) == (["col_0"], 7)


async def test_a_collection_is_named_in_a_condition_and_asked_for_by_its_id(client: httpx.AsyncClient, world: World) -> None:
    await upload(client)
    assert (await client.post(FILTER, json={"query": "-collection:handbook"})).status_code == 200
    compared = world.requests["FilterDocuments"][0].filter.none_of.comparison
    assert (compared.field, compared.values[0].string_value) == ("collection_id", "col_0")
    missing = await client.post(FILTER, json={"query": "collection:nowhere"})
    assert (missing.status_code, missing.json()["reason"]) == (404, "COLLECTION_NOT_FOUND")


async def test_no_conditions_ask_for_every_document(client: httpx.AsyncClient, world: World) -> None:
    assert (await client.post(FILTER, json={})).status_code == 200
    assert not world.requests["FilterDocuments"][0].HasField("filter")


async def test_a_span_of_time_is_counted_from_the_first_page_on_every_page(client: httpx.AsyncClient, world: World) -> None:
    first = (await client.post(FILTER, json={"query": "updated:1h"})).json()
    second = (await client.post(FILTER, json={"query": "updated:1h", "page_token": first["next_page_token"]})).json()
    assert second["next_page_token"] is None
    asked = world.requests["FilterDocuments"]
    assert [request.page_token for request in asked] == ["", "more"]
    assert asked[0].filter == asked[1].filter


async def test_a_page_token_is_good_for_its_own_conditions_only(client: httpx.AsyncClient) -> None:
    token = (await client.post(FILTER, json={"query": "type:pdf"})).json()["next_page_token"]
    for body in ({"query": "type:docx"}, {"query": "type:pdf", "filter": {"author": "ann"}}, {"query": "type:pdf", "collections": ["x"]}):
        refused = await client.post(FILTER, json={**body, "page_token": token})
        assert (refused.status_code, refused.json()["reason"]) == (400, "PAGE_TOKEN_INVALID")
    assert (await client.post(FILTER, json={"page_token": "made up"})).json()["reason"] == "PAGE_TOKEN_INVALID"


@pytest.mark.parametrize(
    ("body", "reason", "words"),
    [
        ({"query": "leave type:pdf"}, "FILTER_WITH_WORDS", "'leave'"),
        ({"query": '"annual leave" type:pdf'}, "FILTER_WITH_WORDS", "annual leave"),
        ({"query": "type:pdf -draft"}, "FILTER_WITH_WORDS", "beside its conditions"),
        ({"filter": {"$phrase": "annual leave"}}, "FILTER_INVALID", "/api/v1/search"),
        ({"query": "autor:ann"}, "UNKNOWN_FILTER_FIELD", "'author'"),
        ({"filter": {"collection_metdata.x": 1}}, "UNKNOWN_FILTER_FIELD", "collection_metadata.<key>"),
        ({"filter": {"metadata": {"$has_kye": "x"}}}, "UNKNOWN_FILTER_OPERATOR", "$has_key"),
        ({"page_size": 1001}, "INVALID_REQUEST", ""),
        ({"querry": "type:pdf"}, "INVALID_REQUEST", "query"),
    ],
)
async def test_what_is_no_condition_on_documents_is_refused(
    client: httpx.AsyncClient, world: World, body: dict[str, Any], reason: str, words: str
) -> None:
    refused = await client.post(FILTER, json=body)
    assert (refused.status_code, refused.json()["reason"]) == (400, reason)
    assert words in refused.text
    assert not world.requests["FilterDocuments"]


async def test_a_search_sends_those_who_ask_for_a_collections_metadata_to_the_filter(client: httpx.AsyncClient, world: World) -> None:
    for body in (
        {"query": "leave collection_metadata.owner:ann"},
        {"query": "leave", "filter": {"collection_metadata.owner": "ann"}},
        {"query": "leave", "filter": {"collection_metadata": {"$has_key": "owner"}}},
    ):
        refused = await client.post("/api/v1/search", json=body)
        assert (refused.status_code, refused.json()["reason"]) == (400, "FILTER_INVALID")
        assert "/api/v1/filter" in refused.json()["detail"]
    assert not world.requests["Search"]
