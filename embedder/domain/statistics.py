"""Term statistics by organisation, kept close to what the index holds."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import structlog

from embedder.domain.bm25 import TermStatistics
from embedder.domain.index import VectorIndex
from shared.errors import AppError

log = structlog.get_logger()
# Frequencies of a sample this large differ from the true ones by less than ranking notices.
_SAMPLE_PASSAGES = 4_000
# What other processes wrote and what was deleted is noticed after so long.
_FRESH_SECONDS = 600.0
# Organisations remembered; a vocabulary takes a few megabytes.
_MOST_ORGANISATIONS = 64


@dataclass(slots=True)
class _Entry:
    statistics: TermStatistics
    sampled_at: float
    refreshing: asyncio.Task[None] | None = None


class StatisticsCache:
    """Samples an organisation's passages when it is first searched, counts what is written here, and samples anew now and then."""

    def __init__(self, index: VectorIndex, clock: Callable[[], float] = time.monotonic) -> None:
        self._index = index
        self._clock = clock
        self._entries: OrderedDict[str, _Entry] = OrderedDict()
        self._first: dict[str, asyncio.Task[None]] = {}

    async def get(self, organisation_id: str) -> TermStatistics:
        """The organisation's statistics; waits for the store the first time alone.

        Raises:
            AppError: INDEX_UNAVAILABLE.
        """
        while organisation_id not in self._entries:
            # One sample for all who wait; who leaves does not take it from the others.
            if organisation_id not in self._first:
                self._first[organisation_id] = asyncio.create_task(self._enter(organisation_id))
            await asyncio.shield(self._first[organisation_id])
        entry = self._entries[organisation_id]
        if entry.refreshing is None and self._clock() - entry.sampled_at > _FRESH_SECONDS:
            entry.refreshing = asyncio.create_task(self._refresh(organisation_id, entry))
        self._entries.move_to_end(organisation_id)
        return entry.statistics

    def add(self, organisation_id: str, passages: Iterable[str]) -> None:
        """Count passages just written, given as their terms. An organisation that nobody searched yet is sampled when somebody does."""
        if entry := self._entries.get(organisation_id):
            for terms in passages:
                entry.statistics.add(terms)

    async def _enter(self, organisation_id: str) -> None:
        try:
            self._entries[organisation_id] = _Entry(await self._sample(organisation_id), self._clock())
            while len(self._entries) > _MOST_ORGANISATIONS:
                self._entries.popitem(last=False)
        finally:
            del self._first[organisation_id]

    async def _refresh(self, organisation_id: str, entry: _Entry) -> None:
        try:
            entry.statistics = await self._sample(organisation_id)
        except AppError as error:
            log.warning("statistics_not_refreshed", reason=error.reason)
        entry.sampled_at = self._clock()
        entry.refreshing = None

    async def _sample(self, organisation_id: str) -> TermStatistics:
        passages = await self._index.sample_terms(organisation_id, _SAMPLE_PASSAGES)
        return await asyncio.to_thread(TermStatistics, passages)
