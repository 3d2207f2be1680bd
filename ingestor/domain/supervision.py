"""Keeps what must run for ever running."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

import structlog

from shared.errors import AppError

log = structlog.get_logger()
RESTART_SECONDS = 1.0


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
