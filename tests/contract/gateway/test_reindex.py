from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from lectern.ingestor.v1 import rebuild_pb2
from shared.errors import AppError, Status
from tests.contract.gateway.back_services import World
from tests.contract.gateway.conftest import Clients
from tests.contract.gateway.event_reading import all_events
from tests.contract.gateway.test_accounts import new_key, new_organisation

PATH = "/api/v1/reindex"


def rebuild(state: rebuild_pb2.RebuildState.ValueType, **fields: Any) -> rebuild_pb2.Rebuild:
    message = rebuild_pb2.Rebuild(rebuild_id="rebuild-1", state=state, walk=1, total_count=9, **fields)
    message.create_time.FromDatetime(datetime(2026, 1, 2, tzinfo=UTC))
    return message


@pytest.fixture(autouse=True)
def rebuilds(world: World) -> None:
    world.rebuilds = [
        rebuild(rebuild_pb2.REBUILD_STATE_BUILDING, done_count=4),
        rebuild(rebuild_pb2.REBUILD_STATE_SWITCHING, done_count=9),
        rebuild(rebuild_pb2.REBUILD_STATE_SUCCEEDED, done_count=9, embedded_count=2, reused_count=7),
    ]


async def test_a_rebuild_tells_how_far_it_is_and_ends_with_what_came_of_it(client: httpx.AsyncClient) -> None:
    async with client.stream("POST", PATH, json={}) as response:
        got = await all_events(response)
    assert [(name, data["state"], data["done"]) for name, data in got] == [
        ("progress", "BUILDING", 4),
        ("progress", "SWITCHING", 9),
        ("complete", "SUCCEEDED", 9),
    ]
    assert got[-1][1] == {
        "rebuild_id": "rebuild-1",
        "state": "SUCCEEDED",
        "walk": 1,
        "done": 9,
        "total": 9,
        "embedded": 2,
        "reused": 7,
        "reason": "",
        "message": "",
        "create_time": "2026-01-02T00:00:00Z",
    }


async def test_who_follows_begins_nothing(client: httpx.AsyncClient, world: World) -> None:
    await client.post(PATH, json={"follow": True})
    assert not world.requests["StartRebuild"]
    await client.post(PATH, json={})
    assert len(world.requests["StartRebuild"]) == 1


async def test_nobody_but_an_operator_reaches_the_ingestor(client: httpx.AsyncClient, clients: Clients, world: World) -> None:
    admin = await clients.with_key((await new_organisation(client, "acme"))["api_key"]["key"])
    member = await clients.with_key((await new_key(admin, role="member"))["key"])
    for caller in (admin, member):
        for body in ({}, {"follow": True}):
            refused = await caller.post(PATH, json=body)
            assert (refused.status_code, refused.json()["reason"]) == (403, "ROLE_REQUIRED")
    assert not world.requests["StartRebuild"]
    assert not world.requests["WatchRebuild"]


async def test_the_gateway_speaks_for_itself_and_for_no_organisation(client: httpx.AsyncClient, world: World) -> None:
    await client.post(PATH, json={})
    assert {(caller.organisation_id, caller.subject) for caller in world.callers} == {("*", "service:gateway")}


async def test_a_rebuild_beside_another_is_a_conflict(client: httpx.AsyncClient, world: World) -> None:
    world.failures["StartRebuild"] = AppError("REBUILD_RUNNING", Status.ABORTED, "Follow it.", retry_after_seconds=60)
    response = await client.post(PATH, json={})
    assert (response.status_code, response.json()["reason"]) == (409, "REBUILD_RUNNING")
