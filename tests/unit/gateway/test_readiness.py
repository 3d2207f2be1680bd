from __future__ import annotations

import asyncio

from gateway.domain.readiness import Readiness


async def test_a_dependency_that_fails_is_not_ready_and_the_others_are() -> None:
    async def well() -> bool:
        return True

    async def ill() -> bool:
        raise OSError("no route")

    async def not_serving() -> bool:
        return False

    states = await Readiness({"a": well, "b": ill, "c": not_serving}).check()
    assert states == {"a": True, "b": False, "c": False}


async def test_many_probes_ask_a_dependency_once() -> None:
    asked = 0
    seconds = 0.0
    asking, gate = asyncio.Event(), asyncio.Event()

    async def slow() -> bool:
        nonlocal asked
        asked += 1
        asking.set()
        await gate.wait()
        return True

    readiness = Readiness({"slow": slow}, lambda: seconds)
    checks = [asyncio.create_task(readiness.check()) for _ in range(20)]
    await asking.wait()
    gate.set()
    assert all(states == {"slow": True} for states in await asyncio.gather(*checks))
    assert asked == 1
    seconds = 1.0
    await readiness.check()
    assert asked == 2
