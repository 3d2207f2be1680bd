"""What runs for ever ends when it is told to."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from ingestor.domain.supervision import end


async def test_a_loop_that_lost_its_cancellation_is_cancelled_again() -> None:
    cancelled = 0

    async def deaf_once() -> None:
        nonlocal cancelled
        while cancelled < 2:
            with suppress(asyncio.CancelledError):
                await asyncio.Event().wait()
            cancelled += 1

    loop = asyncio.create_task(deaf_once())
    await asyncio.sleep(0)
    async with asyncio.timeout(20):
        await end([loop], again_seconds=0.01)
    assert cancelled == 2


async def test_ending_nothing_is_over_at_once() -> None:
    await end([])
