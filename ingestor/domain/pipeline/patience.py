"""Waits until another part is there again: its failures are nobody's fault but its own, least of all a document's."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import TypeVar

import structlog

from ingestor.domain.tasks import Claim
from shared.errors import AppError, Status

log = structlog.get_logger()
Result = TypeVar("Result")

FIRST_PAUSE_SECONDS = 0.1
LONGEST_PAUSE_SECONDS = 5.0
# No part is believed that asks for more.
LONGEST_ASKED_SECONDS = 60.0
_PASSING = frozenset({Status.UNAVAILABLE, Status.RESOURCE_EXHAUSTED, Status.DEADLINE_EXCEEDED, Status.ABORTED})


class ClaimLost(Exception):  # noqa: N818  # an outcome of the work
    """Nothing of the claim is this worker's any more: cancelled, deleted, overtaken, or its lease ran out."""


class Patience:
    """Pauses that grow with each failure in a row, with some chance in them so that workers don't come back all at once."""

    def __init__(self, claim: Claim) -> None:
        self._claim = claim
        self._seconds = FIRST_PAUSE_SECONDS

    async def pause(self, error: AppError) -> None:
        """Sleep before another try: as long as ``error`` asks, and then a pause that grows with each failure in a row.

        Raises:
            ClaimLost: there is nothing left to try again for.
            AppError: ``error`` itself when another try would end the same way.
        """
        if not passes(error):
            raise error
        if not self._claim.held:
            raise ClaimLost
        self._claim.progressed()
        asked = min(error.retry_after_seconds or 0.0, LONGEST_ASKED_SECONDS)
        seconds = asked + self._seconds * random.uniform(0.5, 1.0)  # noqa: S311
        log.warning("waiting_for_part", reason=error.reason, seconds=round(seconds, 2))
        await asyncio.sleep(seconds)
        self._seconds = min(self._seconds * 2, LONGEST_PAUSE_SECONDS)

    def reset(self) -> None:
        """Progress was made."""
        self._claim.progressed()
        self._seconds = FIRST_PAUSE_SECONDS


def passes(error: AppError) -> bool:
    """Whether the same call may succeed later without anybody changing it."""
    return error.status in _PASSING


async def until_there(claim: Claim, call: Callable[[], Awaitable[Result]]) -> Result:
    """The result of ``call``, tried again for as long as it fails for want of another part and ``claim`` holds.

    Raises:
        ClaimLost: the claim ended first.
        AppError: the call fails for good.
    """
    patience = Patience(claim)
    while True:
        try:
            result = await call()
        except AppError as error:
            await patience.pause(error)
        else:
            claim.progressed()
            return result
