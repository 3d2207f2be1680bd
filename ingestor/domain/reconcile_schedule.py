"""Compares every organisation again and again, each by one process at a time."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import Protocol

import structlog

from ingestor.domain.reconcile import Reconciler, Report
from shared.errors import AppError

log = structlog.get_logger()

# So few passages are mended whatever share of the organisation they are.
ALWAYS_MENDED = 100


class OrganisationLister(Protocol):
    async def organisations(self) -> list[str]:
        """Every organisation that the vector index holds anything of."""
        ...


class ReconcileCalendar(Protocol):
    """Remembers when each organisation was compared last. Its clock decides."""

    async def note_organisations(self, others: Sequence[str]) -> None:
        """Know the library's organisations, and ``others``, from now on."""
        ...

    async def take_due(self, token: str, *, every_seconds: float, but: Sequence[str]) -> str | None:
        """Lease the organisation, none of ``but``, that was not compared for the longest time; None when nobody's turn has come."""
        ...

    async def lease(self, organisation_id: str, token: str) -> bool:
        """Renew the lease; False when somebody else has it."""
        ...

    async def release(self, organisation_id: str, token: str) -> None: ...


class ReconcileSchedule:
    """Takes the organisations whose turn has come."""

    def __init__(
        self,
        reconciler: Reconciler,
        calendar: ReconcileCalendar,
        index: OrganisationLister,
        *,
        every_seconds: float,
        repair: bool,
        repair_share: float,
    ) -> None:
        """Compare each organisation every ``every_seconds``.

        Args:
            reconciler: compares.
            calendar: says whose turn it is.
            index: may hold rows of organisations that the library has forgotten.
            every_seconds: between two comparisons of one organisation.
            repair: whether to mend.
            repair_share: when more of an organisation's passages differ, somebody should look first: a library that was restored from
                an old copy, or is another one than the index was made from, would cost every vector.
        """
        self._reconciler = reconciler
        self._calendar = calendar
        self._index = index
        self._every_seconds = every_seconds
        self._repair = repair
        self._repair_share = repair_share

    async def run_due(self) -> None:
        """Compare every organisation whose turn has come, one after the other."""
        await self._calendar.note_organisations(await self._index.organisations())
        tried: list[str] = []
        token = secrets.token_hex(16)
        while organisation_id := await self._calendar.take_due(token, every_seconds=self._every_seconds, but=tried):
            tried.append(organisation_id)
            try:
                await self._run(organisation_id, token)
            except AppError as error:
                log.warning("reconciliation_failed", organisation_id=organisation_id, reason=error.reason)
            finally:
                await self._calendar.release(organisation_id, token)

    async def _run(self, organisation_id: str, token: str) -> None:
        compared = Report()
        async for report in self._reconciler.check(organisation_id):
            compared = report
            if not await self._calendar.lease(organisation_id, token):
                return
        if not compared.left or not self._repair:
            return
        found = compared.found.total()
        if found > max(ALWAYS_MENDED, self._repair_share * compared.total):
            log.error("too_much_drift_to_mend_unasked", organisation_id=organisation_id, found=found, passages=compared.total)
            return
        async for _ in self._reconciler.repair(organisation_id, token=token):
            pass
