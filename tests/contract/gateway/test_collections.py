from __future__ import annotations

import httpx

from tests.contract.gateway.back_services import World


async def test_a_collection_is_created_and_found_by_id_and_by_name(client: httpx.AsyncClient) -> None:
    body = {"name": "handbook", "description": "How we work", "metadata": {"year": 2024, "ratio": 0.5, "tags": ["a", None, True]}}
    made = await client.post("/api/v1/collections", json=body)
    assert made.status_code == 201
    collection = made.json()
    assert collection["metadata"] == {"year": 2024, "ratio": 0.5, "tags": ["a", None, True]}
    for key in (collection["id"], "handbook"):
        assert (await client.get(f"/api/v1/collections/{key}")).json() == collection
    assert (await client.get("/api/v1/collections")).json() == {"items": [collection], "next_page_token": None}


async def test_every_rpc_is_made_for_the_organisation_of_the_key_and_under_the_request_id(client: httpx.AsyncClient, world: World) -> None:
    organisation = (await client.get("/api/v1/organisations")).json()["items"][0]["id"]
    response = await client.get("/api/v1/collections", headers={"X-Request-Id": "my-request.1"})
    assert response.headers["X-Request-Id"] == "my-request.1"
    assert world.request_ids[-1] == "my-request.1"
    assert world.callers[-1].organisation_id == organisation
    assert world.callers[-1].subject.startswith("key:")


async def test_a_collection_is_looked_up_once_for_searches_that_follow_each_other_until_it_changes(
    client: httpx.AsyncClient, world: World
) -> None:
    async def search() -> int:
        return (await client.post("/api/v1/search", json={"query": "leave", "collections": ["handbook"]})).status_code

    assert await search() == 404
    await client.post("/api/v1/collections", json={"name": "handbook"})
    before = len(world.requests["ListCollections"])
    assert [await search() for _ in range(2)] == [200, 200]
    assert len(world.requests["ListCollections"]) == before + 1
    await client.patch("/api/v1/collections/handbook", json={"description": "New"})
    assert await search() == 200
    assert len(world.requests["ListCollections"]) == before + 2
    await client.delete("/api/v1/collections/handbook")
    assert await search() == 404
