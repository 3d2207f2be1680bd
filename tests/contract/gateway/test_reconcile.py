from __future__ import annotations

import asyncio

import httpx

from lectern.ingestor.v1 import reconcile_pb2
from shared.errors import AppError, Status
from tests.contract.gateway.back_services import World
from tests.contract.gateway.event_reading import all_events, events


def report(stage: reconcile_pb2.ReconcileStage.ValueType, done: int, missing: int = 0, mended: int = 0) -> reconcile_pb2.ReconcileResponse:
    drift = [reconcile_pb2.DriftCount(kind=reconcile_pb2.DRIFT_KIND_MISSING, found_count=missing, mended_count=mended)]
    return reconcile_pb2.ReconcileResponse(stage=stage, done_count=done, total_count=9, drift=drift, unsettled_count=1)


async def test_a_reconciliation_tells_how_far_it_is_and_ends_with_what_came_of_it(client: httpx.AsyncClient, world: World) -> None:
    world.reconciliation = [
        report(reconcile_pb2.RECONCILE_STAGE_CHECKING, 9, missing=2),
        report(reconcile_pb2.RECONCILE_STAGE_MENDING, 1, missing=2, mended=1),
        report(reconcile_pb2.RECONCILE_STAGE_ENDED, 2, missing=2, mended=2),
    ]
    async with client.stream("POST", "/api/v1/reconcile", json={"repair": True}) as response:
        got = await all_events(response)
    assert [(name, data["stage"], data["done"]) for name, data in got] == [
        ("progress", "CHECKING", 9),
        ("progress", "MENDING", 1),
        ("complete", "ENDED", 2),
    ]
    assert got[-1][1] == {
        "stage": "ENDED",
        "done": 2,
        "total": 9,
        "drift": [{"kind": "MISSING", "found": 2, "mended": 2}],
        "unsettled": 1,
    }
    assert world.requests["Reconcile"][0].repair


async def test_nothing_is_mended_unless_asked_for(client: httpx.AsyncClient, world: World) -> None:
    await client.post("/api/v1/reconcile", json={})
    assert not world.requests["Reconcile"][0].repair


async def test_a_repair_beside_another_is_a_conflict(client: httpx.AsyncClient, world: World) -> None:
    world.failures["Reconcile"] = AppError("RECONCILIATION_RUNNING", Status.ABORTED, "Try again.", retry_after_seconds=60)
    response = await client.post("/api/v1/reconcile", json={"repair": True})
    assert (response.status_code, response.json()["reason"], response.headers["Retry-After"]) == (409, "RECONCILIATION_RUNNING", "60")


async def test_who_leaves_ends_the_comparison(client: httpx.AsyncClient, world: World) -> None:
    world.reconciliation = [report(reconcile_pb2.RECONCILE_STAGE_CHECKING, 1)]
    world.hold["Reconcile"] = asyncio.Event()
    async with client.stream("POST", "/api/v1/reconcile", json={}) as response:
        await anext(events(response))
    await asyncio.wait_for(world.cancelled.wait(), 10)
