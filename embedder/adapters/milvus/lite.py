"""What Milvus Lite needs from who uses it, and a Milvus server does itself."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import structlog

from shared.errors import AppError

log = structlog.get_logger()
# Lite searches unflushed rows one by one: 200 cost a search 40 ms, 1,000 cost 180 ms. A flush takes 0.2 s.
_FLUSH_AT_ROWS = 1_000
# When nothing was written for so long, what is left is flushed too.
_QUIET_SECONDS = 1.0


class LiteFlusher:
    """Flushes after many writes, or soon after the last one, and lets nobody read meanwhile.

    While Lite flushes rows it shows them neither as growing nor as sealed: a search would miss them, and a check whether they are there
    would say no.
    """

    def __init__(self, flush: Callable[[], Awaitable[None]]) -> None:
        self._flush = flush
        self._rows = 0
        self._readers = 0
        self._flushing = False
        self._changed = asyncio.Event()
        self._quiet: asyncio.Task[None] | None = None

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[None]:
        """Read beside other readers, not beside a flush."""
        while self._flushing:
            await self._changed.wait()
        self._readers += 1
        try:
            yield
        finally:
            self._readers -= 1
            self._announce_change()

    async def written(self, rows: int) -> None:
        """Note rows just written, and flush when there are many. One writer at a time."""
        self._rows += rows
        if self._quiet:
            self._quiet.cancel()
        if self._rows >= _FLUSH_AT_ROWS:
            await self.flush()
        else:
            self._quiet = asyncio.create_task(self._flush_when_quiet())

    async def flush(self) -> None:
        """Seal what was written. A failure is logged: the rows are in the store's log either way."""
        while self._flushing:
            await self._changed.wait()
        if not self._rows:
            return
        self._flushing = True
        try:
            while self._readers:
                await self._changed.wait()
            await self._flush()
            self._rows = 0
        except AppError as error:
            log.warning("flush_failed", reason=error.reason)
        finally:
            self._flushing = False
            self._announce_change()

    async def close(self) -> None:
        if self._quiet:
            self._quiet.cancel()
            await asyncio.gather(self._quiet, return_exceptions=True)

    async def _flush_when_quiet(self) -> None:
        await asyncio.sleep(_QUIET_SECONDS)
        await self.flush()

    def _announce_change(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()
