"""Networks and stores that fail under running services."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable
from typing import TypeAlias

import pytest

from tests.faults.day import begun
from tests.faults.report import tried
from tests.faults.services import LEASE_SECONDS
from tests.faults.world import PATIENCE_SECONDS, POLL_SECONDS, World

pytestmark = pytest.mark.asyncio(loop_scope="session")
Outage: TypeAlias = Callable[[World], Awaitable[None]]
PAST_THE_LEASE_SECONDS = LEASE_SECONDS * 1.5


async def postgres_restarts(world: World) -> None:
    await asyncio.to_thread(world.restart_postgres)


async def postgres_restarts_twice(world: World) -> None:
    for _ in range(2):
        await postgres_restarts(world)
        await asyncio.sleep(LEASE_SECONDS / 4)


async def postgres_is_cut_off_again_and_again(world: World) -> None:
    for _ in range(5):
        await world.to_postgres.cut()
        await asyncio.sleep(POLL_SECONDS)


async def postgres_falls_silent(world: World) -> None:
    world.to_postgres.swallow()
    await asyncio.sleep(PAST_THE_LEASE_SECONDS)
    await world.to_postgres.cut()


async def milvus_is_killed(world: World) -> None:
    world.milvus.kill()
    await asyncio.sleep(PAST_THE_LEASE_SECONDS)
    await world.start_milvus()


async def milvus_is_slow(world: World) -> None:
    world.to_milvus.delay_seconds = 0.3
    await asyncio.sleep(PAST_THE_LEASE_SECONDS)


async def milvus_falls_silent(world: World) -> None:
    world.to_milvus.swallow()
    await asyncio.sleep(PAST_THE_LEASE_SECONDS)
    await world.to_milvus.cut()


async def the_embedders_stream_is_cut(world: World) -> None:
    # Well before the end of what the many texts weigh.
    world.to_embedder.cut_after(4_000)
    async with asyncio.timeout(PATIENCE_SECONDS):
        while world.to_embedder.cut_is_due:  # noqa: ASYNC110  # bytes that other processes send
            await asyncio.sleep(POLL_SECONDS)


async def the_embedder_falls_silent(world: World) -> None:
    world.to_embedder.swallow()
    await asyncio.sleep(PAST_THE_LEASE_SECONDS)
    await world.to_embedder.cut()


async def the_ingestor_is_asked_to_stop(world: World) -> None:
    world.first.process.signal(signal.SIGTERM)


OUTAGES: dict[Outage, str] = {
    postgres_restarts: "new connections",
    postgres_restarts_twice: "new connections",
    postgres_is_cut_off_again_and_again: "new connections",
    postgres_falls_silent: "new connections and another delivery",
    milvus_is_killed: "waiting for Milvus",
    milvus_is_slow: "waiting for Milvus",
    milvus_falls_silent: "a new connection",
    the_embedders_stream_is_cut: "a new stream with what was not acknowledged",
    the_embedder_falls_silent: "a new stream with what was not acknowledged",
    the_ingestor_is_asked_to_stop: "a new process, at once",
}
BOUNDED: set[Outage] = {postgres_restarts, the_embedders_stream_is_cut}


def outages() -> list[object]:
    return [pytest.param(outage, id=outage.__name__, marks=() if outage in BOUNDED else pytest.mark.slow) for outage in OUTAGES]


@pytest.mark.parametrize("outage", outages())
async def test_an_outage_costs_time_and_nothing_else(world: World, address: str, request: pytest.FixtureRequest, outage: Outage) -> None:
    day = await begun(world, "outage", address)
    with tried(request, outage.__name__.replace("_", " "), "outage", OUTAGES[outage]):
        async with day.watched():
            working = asyncio.create_task(day.work())
            await day.renewed_is_acknowledged.wait()
            await outage(world)
            await world.heal()
            await working
        await day.end()
