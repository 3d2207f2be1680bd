"""Workers: claim, work, and never stop because of what happens in between."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import structlog

from ingestor.domain.bells import Bells, wait
from ingestor.domain.pipeline.patience import ClaimLost, passes
from ingestor.domain.tasks import Claim, Stage, TaskQueue
from shared.errors import AppError

log = structlog.get_logger()

FIRST_PAUSE_SECONDS = 0.2
LONGEST_PAUSE_SECONDS = 5.0
# Before what failed is delivered again.
REDELIVERY_SECONDS = 1.0
SHUTDOWN_SECONDS = 5.0


class Leases:
    """Keeps the leases of this process's claims alive while they are worked on."""

    def __init__(self, queue: TaskQueue, *, lease_seconds: float) -> None:
        self._queue = queue
        self._interval_seconds = lease_seconds / 4
        self._claims: dict[str, Claim] = {}

    @contextmanager
    def keeping(self, claim: Claim) -> Iterator[None]:
        self._claims[claim.token] = claim
        try:
            yield
        finally:
            del self._claims[claim.token]

    async def run(self) -> None:
        """Renew every lease several times in its life, until cancelled. When the store is gone, leases end by themselves."""
        while True:
            await asyncio.sleep(self._interval_seconds)
            claims = dict(self._claims)
            if not claims:
                continue
            asked_at = time.monotonic()
            try:
                held = await self._queue.renew(list(claims))
            except AppError as error:
                log.warning("leases_not_renewed", reason=error.reason)
                continue
            for token, claim in claims.items():
                claim.renewed(held[token], asked_at=asked_at)


@dataclass(frozen=True, slots=True)
class Portion:
    """How much a worker claims at once, and whether it is an express (see `TaskQueue.claim`)."""

    max_tasks: int
    max_weight: int
    express: bool = False


class Worker:
    """Takes tasks of one stage, for ever."""

    def __init__(
        self,
        stage: Stage,
        handle: Callable[[Claim], Awaitable[None]],
        portion: Portion,
        *,
        queue: TaskQueue,
        leases: Leases,
        bells: Bells,
        poll_seconds: float,
    ) -> None:
        self._stage = stage
        self._handle = handle
        self._portion = portion
        self._queue = queue
        self._leases = leases
        self._bells = bells
        self._poll_seconds = poll_seconds

    async def run(self) -> None:
        """Claim and work until cancelled; what is held then goes back to the queue."""
        pause = FIRST_PAUSE_SECONDS
        while True:
            bell = self._bells.listen(self._stage)
            try:
                claim = await self._claim()
            except AppError as error:
                log.warning("queue_unreachable", stage=self._stage, reason=error.reason)
                await asyncio.sleep(pause)
                pause = min(pause * 2, LONGEST_PAUSE_SECONDS)
                continue
            pause = FIRST_PAUSE_SECONDS
            if claim is None:
                await wait(bell, seconds=self._poll_seconds)
            else:
                await self._work(claim)

    async def _claim(self) -> Claim | None:
        portion = self._portion
        return await self._queue.claim(self._stage, max_tasks=portion.max_tasks, max_weight=portion.max_weight, express=portion.express)

    async def _work(self, claim: Claim) -> None:
        started = time.monotonic()
        failure, delay = "", 0.0
        with self._leases.keeping(claim):
            try:
                await self._handle(claim)
            except asyncio.CancelledError:
                await asyncio.wait_for(asyncio.shield(self._give_back(claim, "", 0.0)), SHUTDOWN_SECONDS)
                raise
            except ClaimLost:
                log.info("claim_lost", stage=self._stage, tasks=len(claim.tasks))
            except AppError as error:
                # What another part is to blame for does not count against the tasks.
                failure, delay = "" if passes(error) else error.reason, REDELIVERY_SECONDS
                log.warning("stage_failed", stage=self._stage, tasks=len(claim.tasks), reason=error.reason, counted=bool(failure))
            except Exception as error:
                failure, delay = type(error).__name__, REDELIVERY_SECONDS
                log.exception("stage_failed", stage=self._stage, tasks=len(claim.tasks), counted=True)
            else:
                seconds = round(time.monotonic() - started, 3)
                log.info("stage_done", stage=self._stage, tasks=len(claim.tasks), left=len(claim.held), seconds=seconds)
        await self._give_back(claim, failure, delay)

    async def _give_back(self, claim: Claim, failure: str, delay: float) -> None:
        try:
            await self._queue.release(claim.token, failure=failure, delay_seconds=delay)
        except AppError as error:
            # The lease ends by itself, and the tasks come back then.
            log.warning("claim_not_released", stage=self._stage, reason=error.reason)
