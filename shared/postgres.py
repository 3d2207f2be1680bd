"""What services with a database share: connections quick to give back, a pool that ends in time, cancellations that are not lost."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, TypeAlias

import asyncpg

from shared.errors import AppError

# asyncpg's classes take a type argument only in its stubs.
Pool: TypeAlias = "asyncpg.Pool[asyncpg.Record]"
if TYPE_CHECKING:
    _Connection = asyncpg.Connection[asyncpg.Record]
else:
    _Connection = asyncpg.Connection
CLOSE_SECONDS = 10.0


class SessionlessConnection(_Connection):
    """For pools whose users leave nothing behind but transactions: no session's settings, locks, cursors or listeners.

    Giving it back takes no round trip then. A transaction that is still open is rolled back all the same.
    """

    def get_reset_query(self) -> str:
        return ""


@asynccontextmanager
async def opened(pool: Pool) -> AsyncIterator[Pool]:
    """``pool``, ready; leaving waits some seconds for its connections to be given back and cuts those that are not."""
    await pool
    try:
        yield pool
    finally:
        # It cuts what is left when it is told to stop waiting.
        with suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_SECONDS):
                await pool.close()


def unless_cancelled(error: AppError) -> BaseException:
    """``error``, unless it came of a cancellation: a rollback that fails on the way out must not keep alive what is to end."""
    task = asyncio.current_task()
    return asyncio.CancelledError() if task is not None and task.cancelling() else error
