"""What users have searched for: kept beside the searches, without making them wait."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Protocol

import structlog

from gateway.domain.accounts import Position, Principal
from gateway.domain.listing import Listing, PageRequest
from gateway.domain.strict_json import JsonValue
from shared.errors import AppError, not_found
from shared.paging import PageTokens, page_size

log = structlog.get_logger()
# Searches that wait to be written; when the database is away for longer than that takes to fill, the newest are not kept.
MAX_WAITING: Final = 2000
MAX_BATCH: Final = 200
# What is longer belongs to a program, and nobody will read it in a list.
MAX_CHARACTERS: Final = 20_000
PRUNE_SECONDS: Final = 3600.0
_PATIENCE_SECONDS: Final = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class MadeSearch:
    """A search that was made; ``request_json`` is what was asked beside the query."""

    query: str
    request_json: str
    hit_count: int
    total_ms: float
    trace_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PastSearch:
    """A search as it is kept."""

    search_id: str
    query: str
    request: Mapping[str, JsonValue]
    hit_count: int
    total_ms: float
    trace_id: str
    create_time: datetime


@dataclass(frozen=True, slots=True)
class Entry:
    """A search on its way into the store; ``made_at`` is on the monotonic clock."""

    principal: Principal
    search: MadeSearch
    made_at: float


class SearchHistoryStore(Protocol):
    """Where searches are kept. Methods raise AppError ACCOUNT_STORE_UNAVAILABLE."""

    async def add(self, entries: Sequence[Entry]) -> None:
        """Keep searches, but for those made before their user last called `clear`."""
        ...

    async def list(self, principal: Principal, after: Position | None, count: int) -> Sequence[PastSearch]:
        """The user's, newest first, after a position."""
        ...

    async def delete(self, principal: Principal, search_id: str) -> bool:
        """Whether the user had it."""
        ...

    async def clear(self, principal: Principal) -> None:
        """Delete all of the user's, also those that are still on their way here."""
        ...

    async def prune(self, days: int, entries: int) -> None:
        """Delete what is older than ``days``, and of each user all but the newest ``entries``."""
        ...


class SearchHistory:
    """Keeps what users search for, for a time and up to a number."""

    def __init__(self, store: SearchHistoryStore, tokens: PageTokens, *, days: int, entries: int) -> None:
        """Keep nothing when ``days`` or ``entries`` is 0."""
        self._store = store
        self._tokens = tokens
        self._days = days
        self._entries = entries
        self._waiting: asyncio.Queue[Entry] = asyncio.Queue(MAX_WAITING)

    def record(self, principal: Principal, search: MadeSearch) -> None:
        """Have a search kept soon. Never blocks and never fails: history is worth less than the search."""
        if not self._days or not self._entries or len(search.query) + len(search.request_json) > MAX_CHARACTERS:
            return
        try:
            self._waiting.put_nowait(Entry(principal, search, time.monotonic()))
        except asyncio.QueueFull:
            log.warning("search_not_kept", reason="ACCOUNT_STORE_SLOW")

    async def list(self, principal: Principal, page: PageRequest) -> Listing[PastSearch]:
        """The user's searches, newest first.

        Raises:
            AppError: PAGE_TOKEN_INVALID, ACCOUNT_STORE_UNAVAILABLE.
        """
        query = {"list": "search history", "organisation": principal.organisation_id, "user": principal.user_id}
        position = self._tokens.decode(query, page.token)
        await self._written()
        size = page_size(page.size)
        rows = await self._store.list(principal, position, size + 1)
        last = rows[size - 1] if len(rows) > size else None
        token = self._tokens.encode(query, (last.create_time.isoformat(), last.search_id)) if last else ""
        return Listing(rows[:size], token)

    async def delete(self, principal: Principal, search_id: str) -> None:
        """Raises AppError SEARCH_NOT_FOUND or ACCOUNT_STORE_UNAVAILABLE."""
        if not await self._store.delete(principal, search_id):
            raise not_found("search", search_id)

    async def clear(self, principal: Principal) -> None:
        """Forget all of the user's searches, also those that are still to be written. Raises AppError ACCOUNT_STORE_UNAVAILABLE."""
        await self._store.clear(principal)

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """Write and prune as long as the context lasts; what waits at its end is written."""
        tasks = [asyncio.create_task(self._write_for_ever()), asyncio.create_task(self._prune_for_ever())]
        try:
            yield
        finally:
            await self._written()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _written(self) -> None:
        """Wait until what this process holds is written, or for a while when the database is slow."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._waiting.join(), _PATIENCE_SECONDS)

    async def _write_for_ever(self) -> None:
        while True:
            batch = [await self._waiting.get()]
            while len(batch) < MAX_BATCH and not self._waiting.empty():
                batch.append(self._waiting.get_nowait())
            try:
                await self._store.add(batch)
            except AppError as error:
                log.warning("searches_not_kept", reason=error.reason, searches=len(batch))
            finally:
                for _ in batch:
                    self._waiting.task_done()

    async def _prune_for_ever(self) -> None:
        while True:
            with suppress(AppError):
                await self._store.prune(self._days, self._entries)
            await asyncio.sleep(PRUNE_SECONDS)
