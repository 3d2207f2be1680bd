"""Workers: claim, work, and never stop because of what happens in between."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

import structlog

from ingestor.domain.bells import Bells, wait
from ingestor.domain.pipeline.patience import ClaimLost, passes
from ingestor.domain.supervision import end
from ingestor.domain.tasks import TAKEN_AWAY, Claim, Stage, TaskQueue
from ingestor.errors import stage_stalled
from shared.errors import AppError

log = structlog.get_logger()

FIRST_PAUSE_SECONDS = 0.2
LONGEST_PAUSE_SECONDS = 5.0
# Before what failed is delivered again.
REDELIVERY_SECONDS = 1.0
SHUTDOWN_SECONDS = 5.0


class Leases:
    """Keeps the leases of this process's claims alive while they are worked on, and stops work that was taken away."""

    def __init__(self, queue: TaskQueue, bells: Bells, *, lease_seconds: float) -> None:
        self._queue = queue
        self._bells = bells
        self._interval_seconds = lease_seconds / 4
        self._kept: dict[str, _Kept] = {}

    @contextmanager
    def keeping(self, claim: Claim, stop: Callable[[], object]) -> Iterator[None]:
        """Renew the lease of ``claim`` inside, and call ``stop`` once others have ended every task of it."""
        self._kept[claim.token] = _Kept(claim, stop)
        try:
            yield
        finally:
            del self._kept[claim.token]

    async def run(self) -> None:
        """Renew every lease several times in its life, and whenever tasks were taken away, until cancelled.

        When the store is gone, leases end by themselves.
        """
        bell = self._bells.listen(TAKEN_AWAY)
        while True:
            await wait(bell, seconds=self._interval_seconds)
            bell = self._bells.listen(TAKEN_AWAY)
            kept = dict(self._kept)
            if not kept:
                continue
            asked_at = time.monotonic()
            try:
                held = await self._queue.renew(list(kept))
            except AppError as error:
                log.warning("leases_not_renewed", reason=error.reason)
                continue
            for token, one in kept.items():
                one.claim.renewed(held[token], asked_at=asked_at)
                if not held[token]:
                    one.stop()


@dataclass(frozen=True, slots=True)
class _Kept:
    claim: Claim
    stop: Callable[[], object]


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
        stall_seconds: float,
    ) -> None:
        """Work that does not progress for ``stall_seconds`` is given up; the delivery counts."""
        self._stage = stage
        self._handle = handle
        self._portion = portion
        self._queue = queue
        self._leases = leases
        self._bells = bells
        self._poll_seconds = poll_seconds
        self._stall_seconds = stall_seconds

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
        try:
            await self._handled(claim)
        except asyncio.CancelledError:
            with suppress(TimeoutError):
                async with asyncio.timeout(SHUTDOWN_SECONDS):
                    await self._give_back(claim, "", 0.0)
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

    async def _handled(self, claim: Claim) -> None:
        """Do the work, until it is done, nothing of it is the claim's any more, or it does not progress.

        Raises:
            ClaimLost: others have ended every task of it.
            AppError: STAGE_STALLED, or what the work raises.
        """
        handling = asyncio.ensure_future(self._handle(claim))
        with self._leases.keeping(claim, handling.cancel):
            try:
                while not handling.done() and (left := self._stall_seconds - claim.still_seconds) > 0:
                    await asyncio.wait({handling}, timeout=left)
                stalled = not handling.done()
            finally:
                await end([handling])
        if stalled:
            raise stage_stalled(self._stage, self._stall_seconds)
        if handling.cancelled():
            raise ClaimLost
        handling.result()

    async def _give_back(self, claim: Claim, failure: str, delay: float) -> None:
        try:
            await self._queue.record(claim)
            await self._queue.release(claim.token, failure=failure, delay_seconds=delay)
        except AppError as error:
            # The lease ends by itself, and the tasks come back then.
            log.warning("claim_not_released", stage=self._stage, reason=error.reason)
