"""What Milvus Lite needs from who uses it, and a Milvus server does itself."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import structlog

from shared.errors import AppError

log = structlog.get_logger()
Written = TypeVar("Written")
# Lite searches unflushed rows one by one: 200 cost a search 40 ms, 1,000 cost 180 ms. A flush takes 0.2 s.
_FLUSH_AT_ROWS = 1_000
# When nothing was written for so long, what is left is flushed too.
_QUIET_SECONDS = 1.0


class LiteGate:
    """One write at a time, and flushes between them: after many rows, or soon after the last.

    Nobody reads during a flush. Lite then shows the rows neither as growing nor as sealed: a search would miss them, and a check whether
    they are there would say no.
    """

    def __init__(self, flush: Callable[[], Awaitable[None]], quiet_seconds: float = _QUIET_SECONDS) -> None:
        self._flush = flush
        self._quiet_seconds = quiet_seconds
        self._writers = asyncio.Lock()
        self._unflushed = 0
        self._readers = 0
        self._flushing = False
        self._changed = asyncio.Event()
        self._quiet: asyncio.Task[None] | None = None

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[None]:
        """Read beside other readers and beside a write, not beside a flush."""
        while self._flushing:
            await self._changed.wait()
        self._readers += 1
        try:
            yield
        finally:
            self._readers -= 1
            self._announce_change()

    async def write(self, write: Coroutine[Any, Any, Written], *, rows: int) -> Written:
        """Run a write of ``rows`` new rows alone. It runs to its end even when its caller leaves: its thread cannot be stopped."""
        task = asyncio.create_task(self._write(write, rows))
        task.add_done_callback(_take_note)
        return await asyncio.shield(task)

    async def seal(self) -> None:
        """Flush what is left, now."""
        async with self._writers:
            if self._quiet:
                self._quiet.cancel()
            if self._unflushed:
                await self._flush_alone()

    async def close(self) -> None:
        if self._quiet:
            self._quiet.cancel()
            await asyncio.gather(self._quiet, return_exceptions=True)

    async def _write(self, write: Coroutine[Any, Any, Written], rows: int) -> Written:
        async with self._writers:
            written = await write
            self._unflushed += rows
            if self._quiet:
                self._quiet.cancel()
            if self._unflushed >= _FLUSH_AT_ROWS:
                await self._flush_alone()
            elif self._unflushed:
                self._quiet = asyncio.create_task(self._flush_when_quiet())
            return written

    async def _flush_when_quiet(self) -> None:
        await asyncio.sleep(self._quiet_seconds)
        async with self._writers:
            await self._flush_alone()

    async def _flush_alone(self) -> None:
        """Seal what was written. A failure is logged and made good by the next flush: the rows are in the store's log either way."""
        self._flushing = True
        try:
            while self._readers:
                await self._changed.wait()
            await self._flush()
            self._unflushed = 0
        except AppError as error:
            log.warning("flush_failed", reason=error.reason)
        finally:
            self._flushing = False
            self._announce_change()

    def _announce_change(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()


def _take_note(task: asyncio.Task[Any]) -> None:
    """Look at a write's error even when its caller has left, or the event loop complains of it."""
    if not task.cancelled():
        task.exception()
