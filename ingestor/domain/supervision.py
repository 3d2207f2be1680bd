"""Keeps what must run for ever running."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress

import structlog

from shared.errors import AppError

log = structlog.get_logger()
RESTART_SECONDS = 1.0
# More than a worker takes to give back what it holds.
CANCEL_AGAIN_SECONDS = 10.0


async def supervise(name: str, run: Callable[[], Awaitable[None]]) -> None:
    """Run ``run`` until cancelled; whatever else ends it is logged, and it starts again."""
    while True:
        try:
            await run()
        except AppError as error:
            log.warning("loop_restarted", loop=name, reason=error.reason)
        except Exception:
            # A line that cannot be written must not end what it tells of.
            with suppress(Exception):
                log.exception("loop_restarted", loop=name)
        await asyncio.sleep(RESTART_SECONDS)


async def every(seconds: float, work: Callable[[], Awaitable[None]]) -> None:
    """Do ``work`` again and again, with ``seconds`` in between."""
    while True:
        await work()
        await asyncio.sleep(seconds)


async def end(tasks: Iterable[asyncio.Task[None]], *, again_seconds: float = CANCEL_AGAIN_SECONDS) -> None:
    """Cancel ``tasks`` until all of them are over.

    A cancellation that comes together with an awaited result can be lost, and what runs for ever goes on: it is cancelled again.
    """
    pending = set(tasks)
    while pending:
        for task in pending:
            task.cancel()
        _, pending = await asyncio.wait(pending, timeout=again_seconds)
        for task in pending:
            log.warning("loop_cancelled_again", loop=task.get_name())
