"""Every named step of ingestion, failing in every way."""

from __future__ import annotations

import asyncio
import signal

import pytest

from tests.faults.day import Day, begun
from tests.faults.failpoints import FAILPOINTS, Failpoint, woven
from tests.faults.orders import Mode
from tests.faults.report import tried
from tests.faults.services import LEASE_SECONDS
from tests.faults.world import PATIENCE_SECONDS, World
from tests.integration.ingestor.library import eventually

pytestmark = pytest.mark.asyncio(loop_scope="session")
RECOVERY = {
    (Mode.KILL, "ingestor"): "a new process, once the lease had run out",
    (Mode.KILL, "embedder"): "a new process, waited for",
    (Mode.HANG, "ingestor"): "another process; the frozen one then woke",
    (Mode.HANG, "embedder"): "the same process, once it went on",
    (Mode.STALL, "ingestor"): "another delivery, once the work was given up",
    (Mode.STALL, "embedder"): "another delivery, once the work was given up",
    (Mode.ERROR, "ingestor"): "another delivery",
    (Mode.ERROR, "embedder"): "another delivery",
}
# One for each kind of recovery (the one of a stall is in `test_endings`), and one at each place where two stores could come apart.
BOUNDED = {
    ("intake.before_commit", Mode.ERROR),
    ("parse.chunked", Mode.ERROR),
    ("index.batch_acknowledged", Mode.HANG),
    ("publish.verified", Mode.KILL),
    ("purge.vectors_deleted", Mode.KILL),
    ("embedder.before_acknowledging", Mode.HANG),
}


def pairs() -> list[object]:
    return [
        pytest.param(
            failpoint,
            mode,
            id=f"{failpoint.name}-{mode}",
            marks=() if (failpoint.name, mode) in BOUNDED else pytest.mark.slow,
        )
        for failpoint in FAILPOINTS
        for mode in Mode
    ]


@pytest.mark.parametrize(("failpoint", "mode"), pairs())
async def test_every_step_may_fail_in_every_way(
    world: World, address: str, request: pytest.FixtureRequest, failpoint: Failpoint, mode: Mode
) -> None:
    if failpoint.part == "rebuild":
        await world.empty()
    day = await begun(world, failpoint.name, address)
    with tried(request, failpoint.name, mode, _recovery(failpoint, mode)):
        world.orders.give(failpoint.name, mode)
        async with day.watched():
            if failpoint.part == "rebuild":
                await day.tenant.insist(lambda library: library.start_rebuild())
            working = asyncio.create_task(day.work())
            await world.reached(failpoint.name)
            if mode is Mode.HANG:
                await _thaw(world, day, failpoint, working)
            await working
            if mode is Mode.STALL:
                await world.given_up(failpoint.name)
            if failpoint.part == "rebuild":
                await _rebuilt(day, failpoint, mode)
        await day.end()


async def test_every_failpoint_is_a_step_that_the_services_have() -> None:
    async def nothing(_: str) -> None:
        pass

    assert {failpoint.service for failpoint in FAILPOINTS} == {"ingestor", "embedder"}
    assert len({failpoint.name for failpoint in FAILPOINTS}) == len(FAILPOINTS)
    assert {(failpoint.name, mode) for failpoint in FAILPOINTS for mode in Mode} >= BOUNDED
    with woven(nothing, "ingestor"), woven(nothing, "embedder"):
        pass


async def _thaw(world: World, day: Day, failpoint: Failpoint, working: asyncio.Task[None]) -> None:
    """Let the frozen process go on: an ingestor when another has done its work, an embedder when leases would have run out."""
    if failpoint.service == "embedder":
        await asyncio.sleep(LEASE_SECONDS * 1.5)
        world.embedder.signal(signal.SIGCONT)
        return
    await world.start_second_ingestor()
    await working
    await day.tenant.quiet()
    if failpoint.part == "rebuild":
        await day.tenant.rebuilt()
    await world.thaw_first_ingestor()


async def _rebuilt(day: Day, failpoint: Failpoint, mode: Mode) -> None:
    """Wait for the new index, alone. What an embedder answers that nobody expects ends a rebuild, and an operator starts another."""
    if await day.tenant.rebuilt() == "FAILED":
        assert (failpoint.service, mode) == ("embedder", Mode.ERROR)
        await day.tenant.insist(lambda library: library.start_rebuild())
        assert await day.tenant.rebuilt() == "SUCCEEDED"

    async def only_one_is_left() -> bool:
        return len(await day.tenant.world.collections()) == 1

    await eventually(only_one_is_left, seconds=PATIENCE_SECONDS)


def _recovery(failpoint: Failpoint, mode: Mode) -> str:
    if failpoint.name.startswith(("intake.", "delete.")):
        return {Mode.HANG: RECOVERY[mode, "ingestor"]}.get(mode, "the caller, who tried again")
    if failpoint.part == "rebuild" and mode in {Mode.STALL, Mode.ERROR}:
        return "another rebuild" if (failpoint.service, mode) == ("embedder", Mode.ERROR) else "another attempt"
    return RECOVERY[mode, failpoint.service]
