"""Reconciliation: compares the library with the vector index while both are in use, and mends what differs."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections import Counter
from collections.abc import AsyncGenerator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

import structlog

from ingestor.domain.drift import Difference, DriftKind, IndexRow, Standing, classify, compare
from ingestor.domain.pipeline.purge import Deleted
from ingestor.errors import reconciliation_running
from shared.errors import AppError, Status

log = structlog.get_logger()

# Passages of each store that are compared at once. Milvus Lite looks at every row for each page, and takes a third of a second.
WINDOW_PASSAGES = 2048
# Documents queued in one transaction, which copies their passages.
DOCUMENTS_AT_ONCE = 100
POLL_SECONDS = 0.3
# How long the work on documents that were queued is waited for; it goes on by itself after that.
PATIENCE_SECONDS = 3600.0


class ReconcileStage(StrEnum):
    CHECKING = "CHECKING"
    MENDING = "MENDING"
    ENDED = "ENDED"


@dataclass(slots=True)
class Report:
    """How far a reconciliation is.

    Attributes:
        done: passages compared; while MENDING, documents indexed again.
        total: passages or documents that there are to do.
        unsettled: passages that differ, but whose documents are in work.
    """

    stage: ReconcileStage = ReconcileStage.CHECKING
    done: int = 0
    total: int = 0
    found: Counter[DriftKind] = field(default_factory=Counter)
    mended: Counter[DriftKind] = field(default_factory=Counter)
    unsettled: int = 0

    @property
    def left(self) -> Mapping[DriftKind, int]:
        """What was found and not mended."""
        return self.found - self.mended


class IndexScan(Protocol):
    """The vector index. Raises AppErrors of the embedder."""

    async def scan(self, organisation_id: str, after: str, limit: int) -> list[IndexRow]:
        """The next rows after a passage id, in the order of their ids, by a strongly consistent read."""
        ...

    async def missing(self, organisation_id: str, passage_ids: Sequence[str]) -> set[str]:
        """Those that the index does not hold, by a strongly consistent read."""
        ...

    async def delete_passages(self, organisation_id: str, passage_ids: Sequence[str]) -> Deleted: ...


class ReconcileStore(Protocol):
    """The library. Its clock decides."""

    async def visible_count(self, organisation_id: str) -> int:
        """How many passages are visible, about."""
        ...

    async def visible_rows(self, organisation_id: str, after: str, limit: int) -> list[IndexRow]:
        """What the index should hold: the next rows after a passage id, in the order of their ids."""
        ...

    async def standings(self, organisation_id: str, differences: Sequence[Difference]) -> list[Standing]:
        """What is known about each difference, in their order."""
        ...

    async def index_again(self, organisation_id: str, document_ids: Sequence[str]) -> Mapping[str, int]:
        """Queue a new generation of each document's visible content, which takes over the vectors that are there.

        Returns:
            The new generations by document. Documents that are gone or in work already are left out.
        """
        ...

    async def settled(self, organisation_id: str, generations: Mapping[str, int]) -> Mapping[str, bool]:
        """Those documents on which no upkeep is to be done any more, and whether that generation or a newer one is visible."""
        ...

    async def lease(self, organisation_id: str, token: str) -> bool:
        """Take or renew the lease to mend; False when somebody else has it."""
        ...

    async def release(self, organisation_id: str, token: str) -> None: ...

    async def record(self, organisation_id: str, left: Mapping[DriftKind, int]) -> None:
        """Remember when the organisation was compared, and what is still to be mended."""
        ...


class Reconciler:
    """Compares one organisation at a time."""

    def __init__(self, store: ReconcileStore, index: IndexScan) -> None:
        self._store = store
        self._index = index

    async def check(self, organisation_id: str) -> AsyncGenerator[Report, None]:
        """Compare everything; a report after each part, and a last one in stage ENDED."""
        report = Report(total=await self._store.visible_count(organisation_id))
        async for _ in self._drift(organisation_id, report):
            yield report
        async for ended in self._end(organisation_id, report):
            yield ended

    async def repair(self, organisation_id: str, *, token: str = "") -> AsyncGenerator[Report, None]:
        """Compare everything and mend what differs, under the lease that ``token`` holds or one of its own.

        Raises:
            AppError: RECONCILIATION_RUNNING when another call mends the organisation, VECTORS_REMAIN.
        """
        token = token or secrets.token_hex(16)
        await self._hold(organisation_id, token)
        try:
            report = Report(total=await self._store.visible_count(organisation_id))
            to_index: dict[str, Counter[DriftKind]] = {}
            async for drift in self._drift(organisation_id, report):
                await self._hold(organisation_id, token)
                await self._delete(organisation_id, drift, report)
                _note_documents(drift, to_index)
                yield report
            async for mending in self._index_again(organisation_id, to_index, report):
                await self._hold(organisation_id, token)
                yield mending
            async for ended in self._end(organisation_id, report):
                yield ended
        finally:
            await self._store.release(organisation_id, token)

    async def _hold(self, organisation_id: str, token: str) -> None:
        if not await self._store.lease(organisation_id, token):
            raise reconciliation_running()

    async def _end(self, organisation_id: str, report: Report) -> AsyncGenerator[Report, None]:
        await self._store.record(organisation_id, report.left)
        report.stage = ReconcileStage.ENDED
        log.info("reconciled", organisation_id=organisation_id, found=dict(report.found), mended=dict(report.mended))
        yield report

    async def _drift(self, organisation_id: str, report: Report) -> AsyncGenerator[list[tuple[DriftKind, Difference]], None]:
        """What differs, one range of passage ids after the other."""
        after = ""
        while True:
            expected, held = await asyncio.gather(
                self._store.visible_rows(organisation_id, after, WINDOW_PASSAGES),
                self._index.scan(organisation_id, after, WINDOW_PASSAGES),
            )
            # A full page may not be the end of its side: only what lies before the ends of both can be compared.
            ends = [rows[-1].passage_id for rows in (expected, held) if len(rows) == WINDOW_PASSAGES]
            end = min(ends, default=None)
            expected, held = _until(expected, end), _until(held, end)
            report.done += len(expected)
            yield await self._confirmed(organisation_id, compare(expected, held), report)
            if end is None:
                return
            after = end

    async def _confirmed(
        self, organisation_id: str, differences: Sequence[Difference], report: Report
    ) -> list[tuple[DriftKind, Difference]]:
        """Those differences that are drift, and not the trace of what happened while both sides were read."""
        if not differences:
            return []
        standings = await self._store.standings(organisation_id, differences)
        settled = [(each, standing) for each, standing in zip(differences, standings, strict=True) if not standing.in_work]
        report.unsettled += len(differences) - len(settled)
        drift = [(kind, each) for each, standing in settled if (kind := classify(each, standing))]
        lost = await self._lost(organisation_id, [each.row.passage_id for kind, each in drift if kind is DriftKind.MISSING])
        drift = [(kind, each) for kind, each in drift if kind.is_surplus or each.row.passage_id in lost]
        report.found.update(kind for kind, _ in drift)
        for kind, each in drift:
            log.info("drift_found", kind=kind.value, passage_id=each.row.passage_id, document_id=each.row.document_id)
        return drift

    async def _lost(self, organisation_id: str, passage_ids: Sequence[str]) -> AbstractSet[str]:
        return await self._index.missing(organisation_id, passage_ids) if passage_ids else frozenset()

    async def _delete(self, organisation_id: str, drift: Sequence[tuple[DriftKind, Difference]], report: Report) -> None:
        surplus = [(kind, each) for kind, each in drift if kind.is_surplus]
        if not surplus:
            return
        deleted = await self._index.delete_passages(organisation_id, [each.row.passage_id for _, each in surplus])
        if deleted.remaining:
            raise AppError("VECTORS_REMAIN", Status.UNAVAILABLE, "The vector index still holds what it was told to remove.")
        report.mended.update(kind for kind, each in surplus if each.expected is None)

    async def _index_again(
        self, organisation_id: str, documents: Mapping[str, Counter[DriftKind]], report: Report
    ) -> AsyncGenerator[Report, None]:
        """Queue the documents, and report until they are done."""
        if not documents:
            return
        report.stage, report.done, report.total = ReconcileStage.MENDING, 0, len(documents)
        ids, queued = list(documents), dict[str, int]()
        for start in range(0, len(ids), DOCUMENTS_AT_ONCE):
            queued |= await self._store.index_again(organisation_id, ids[start : start + DOCUMENTS_AT_ONCE])
            yield report
        report.done = len(documents) - len(queued)
        ends_at = time.monotonic() + PATIENCE_SECONDS
        while queued and time.monotonic() < ends_at:
            for document_id, mended in (await self._store.settled(organisation_id, queued)).items():
                del queued[document_id]
                report.done += 1
                report.mended.update(documents[document_id] if mended else {})
            yield report
            await asyncio.sleep(POLL_SECONDS if queued else 0)


def _until(rows: list[IndexRow], end: str | None) -> list[IndexRow]:
    return rows if end is None else [row for row in rows if row.passage_id <= end]


def _note_documents(drift: Sequence[tuple[DriftKind, Difference]], documents: dict[str, Counter[DriftKind]]) -> None:
    """Add the documents of which a visible passage is not in the index, or was just deleted from it."""
    for kind, each in drift:
        if each.expected is not None:
            documents.setdefault(each.expected.document_id, Counter())[kind] += 1
