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
