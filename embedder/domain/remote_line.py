"""A server on the network at work: when it is asked, when it is left alone, and when it is given up for a while."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Sequence
from typing import Any

import structlog

from embedder import errors
from embedder.domain.back_end import BackEndBusy, BackEndRefused, BackEndUnreachable, CountedText, TextsRefused
from embedder.domain.batching import Item, Lane
from embedder.domain.encoding import Vectors
from embedder.domain.engine import RemoteEngine
from embedder.domain.line import ASSUMED_TOKENS_PER_SECOND, SPEED_WEIGHT, BatchPostponed
from shared.errors import AppError

log = structlog.get_logger()
# Pauses that nobody asked for: doubled from the first to the longest, and up to as much again by chance, so that clients spread out.
_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 0.25, 15.0
# Texts wait out a pause that the server asks for, up to this; for a longer one they are refused.
_LONGEST_ASKED_SECONDS = 120.0
# How long an outage is waited out before texts are refused and the model is FAILED.
_OUTAGE_SECONDS = 10.0
# How often a server that refuses us is asked whether that was mended.
_REFUSED_PAUSE_SECONDS = 15.0
_PROBE = [CountedText("probe", 3)]


class RemoteLine:
    """A remote engine with its pauses; implements `embedder.domain.line.Line`.

    A pause holds for the whole server, not only for the request that met it. Batches that could not be sent are postponed: they go back to
    the queue, which knows who still waits for them. When the server is given up, `refusal` is what callers are told, until a probe works.
    """

    lanes = (Lane.INTERACTIVE, Lane.BULK)

    def __init__(self, engine: RemoteEngine, clock: Callable[[], float] = time.monotonic) -> None:
        """Send nothing yet.

        Args:
            engine: the server.
            clock: what deadlines are on; seconds.
        """
        self.room = asyncio.Semaphore(engine.requests)
        self.refusal: AppError | None = None
        self.dimension = engine.dimension
        self._engine = engine
        self._clock = clock
        self._tokens_per_second = ASSUMED_TOKENS_PER_SECOND
        self._resumes_at = 0.0
        self._failures = 0
        self._failing_since: float | None = None

    @property
    def tokens_per_second(self) -> float:
        """What all requests together did lately."""
        return self._tokens_per_second * self._engine.requests

    async def ready(self, within: float) -> bool:
        """Wait for ``within`` seconds at most, and tell whether a batch may be sent now; a server that was given up is probed first."""
        if (pause := self._resumes_at - self._clock()) > 0:
            await asyncio.sleep(min(pause, within))
            return False
        if self.refusal is None:
            return True
        try:
            await self._send(_PROBE)
        except (AppError, BatchPostponed, TextsRefused) as error:
            if self._resumes_at <= self._clock():
                self._pause(_REFUSED_PAUSE_SECONDS)
            log.info("remote_model_still_refused", model=self._engine.back_end.name, error=type(error).__name__)
        return self.refusal is None

    async def encode(self, batch: Sequence[Item[Any]]) -> tuple[Vectors, float]:
        """The vectors, and how many seconds the server took.

        When nobody waits for any of the batch any more, its request is cancelled.

        Raises:
            BatchPostponed: it was not done, and may be tried again.
            AppError: the server was given up, or the last deadline of the batch has passed.
            TextsRefused: it was not done because of what is in it.
        """
        request = asyncio.create_task(self._send([item.tokens for item in batch]))

        def leave_when_alone(_: asyncio.Future[object]) -> None:
            if all(item.future.done() for item in batch):
                request.cancel()

        for item in batch:
            item.future.add_done_callback(leave_when_alone)
        began = self._clock()
        try:
            async with asyncio.timeout(self._seconds_left(batch)):
                await asyncio.wait([request])
        except TimeoutError:
            raise errors.deadline_passed_in_queue() from None
        finally:
            request.cancel()
            for item in batch:
                item.future.remove_done_callback(leave_when_alone)
        if request.cancelled():
            raise BatchPostponed
        vectors, seconds = request.result(), self._clock() - began
        self._tokens_per_second += SPEED_WEIGHT * (sum(item.cost for item in batch) / max(seconds, 1e-6) - self._tokens_per_second)
        return vectors, seconds

    async def stop(self) -> None:
        """Close the connections."""
        await self._engine.back_end.close()

    async def _send(self, texts: Sequence[Any]) -> Vectors:
        began = self._clock()
        try:
            vectors = await self._engine.back_end.embed(texts)
            self._check_dimension(vectors)
        except BackEndBusy as busy:
            await self._meet_busy(busy.pause_seconds, began)
        except BackEndUnreachable as problem:
            await self._meet_outage(str(problem), began)
        except BackEndRefused as refused:
            self._pause(_REFUSED_PAUSE_SECONDS)
            await self._give_up(refused.error)
        else:
            await self._meet_success(began)
            return vectors
        raise self.refusal or BatchPostponed

    def _check_dimension(self, vectors: Vectors) -> None:
        if vectors.shape[1] != self.dimension:
            raise BackEndRefused(errors.remote_dimension_changed(self._engine.back_end.name, vectors.shape[1], self.dimension))

    async def _meet_busy(self, asked: float | None, began: float) -> None:
        self._failing_since = None
        if asked is None:
            self._back_off(began)
            return
        self._pause(asked)
        if asked > _LONGEST_ASKED_SECONDS:
            await self._give_up(errors.remote_busy(self._engine.back_end.name, asked))

    async def _meet_outage(self, problem: str, began: float) -> None:
        self._failing_since = began if self._failing_since is None else self._failing_since
        pause = self._back_off(began)
        if self._clock() + pause - self._failing_since > _OUTAGE_SECONDS:
            await self._give_up(errors.remote_unreachable(self._engine.back_end.name, problem, pause))

    async def _meet_success(self, began: float) -> None:
        # What was sent before a pause began says nothing of how the server is now.
        if began < self._resumes_at:
            return
        self._failures, self._failing_since = 0, None
        if self.refusal:
            self.refusal = None
            log.info("remote_model_back", model=self._engine.back_end.name)
            await self._engine.tell(None)

    def _back_off(self, began: float) -> float:
        """Pause, twice as long as the last time; requests that were under way together make one pause. Returns what is left of it."""
        if began >= self._resumes_at:
            pause = min(_LONGEST_PAUSE_SECONDS, _FIRST_PAUSE_SECONDS * 2.0**self._failures)
            self._failures += 1
            self._pause(pause * (1 + random.random()))  # noqa: S311  # to spread clients out, not a secret
        return max(0.0, self._resumes_at - self._clock())

    def _pause(self, seconds: float) -> None:
        self._resumes_at = max(self._resumes_at, self._clock() + seconds)

    async def _give_up(self, refusal: AppError) -> None:
        known, self.refusal = self.refusal, refusal
        if known is None or known.message != refusal.message:
            log.warning("remote_model_refused", model=self._engine.back_end.name, reason=refusal.reason)
            await self._engine.tell(refusal)

    def _seconds_left(self, batch: Sequence[Item[Any]]) -> float | None:
        deadlines = [item.deadline for item in batch if item.deadline is not None]
        return max(deadlines) - self._clock() if len(deadlines) == len(batch) else None
