"""Decides who may queue: room in a lane, an organisation's share of it, and a deadline that can still be kept."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from embedder import errors
from embedder.domain.batching import BatchQueue, DropReason, Item, Lane, QueueObserver
from embedder.domain.line import Line

# Whoever is refused is asked to come back within these.
_SOONEST_RETRY_SECONDS, _LATEST_RETRY_SECONDS = 1.0, 30.0


class Changes:
    """Wakes everybody who waits for work or for room."""

    def __init__(self) -> None:
        self._next = asyncio.Event()

    def announce(self) -> None:
        self._next.set()
        self._next = asyncio.Event()

    async def wait(self) -> None:
        """Return at the next announcement. Who awaits nothing between looking and waiting misses none."""
        await self._next.wait()


@dataclass(slots=True)
class Admission:
    """A call that has room in its lane: held for what its texts were thought to cost, until it is known what they do.

    Attributes:
        deadline: on the gate's clock; None for ever.
        texts: how many are to come; 0 once they are queued.
        held: tokens held beyond those that are queued.
    """

    lane: Lane
    organisation_id: str
    deadline: float | None
    texts: int
    held: int


class Gate:
    """Lets calls into a queue. Before it is opened and after it is closed it refuses every one."""

    def __init__(self, queue: BatchQueue[Any], observer: QueueObserver, changes: Changes, clock: Callable[[], float]) -> None:
        self._queue = queue
        self._observer = observer
        self._changes = changes
        self._clock = clock
        self._lines: Sequence[Line] = ()
        self._closed = False

    def open(self, lines: Sequence[Line]) -> None:
        """``lines`` take what is queued from now on."""
        self._lines = lines

    def close(self) -> None:
        """Nothing is taken any more."""
        self._closed = True

    @asynccontextmanager
    async def admit(
        self, lane: Lane, organisation_id: str, *, texts: int, tokens: int, seconds_left: float | None, wait_for_room: bool = False
    ) -> AsyncIterator[Admission]:
        """See `embedder.domain.batcher.Batcher.admit`."""
        deadline = None if seconds_left is None else self._clock() + seconds_left
        admission = Admission(lane, organisation_id, deadline, texts, tokens)
        try:
            await self._wait_for_room(admission, seconds_left, wait=wait_for_room)
            self._queue.hold(lane, organisation_id, tokens)
            try:
                yield admission
            finally:
                self._queue.hold(lane, organisation_id, -admission.held)
                self._changes.announce()
        except BaseException as error:
            if admission.texts:
                self._observer.dropped(lane, self._why_unqueued(admission, error), admission.texts)
            raise

    def enqueue(self, admission: Admission, items: Sequence[Item[Any]]) -> None:
        """Queue the texts of an admitted call; what was held for them is theirs now.

        Raises:
            AppError: MODEL_STOPPED; then nothing was queued.
        """
        if self._closed:
            raise errors.model_stopped()
        self._queue.add(items)
        queued = min(admission.held, sum(item.cost for item in items))
        self._queue.hold(admission.lane, admission.organisation_id, -queued)
        admission.held -= queued
        admission.texts = 0
        self._changes.announce()

    async def _wait_for_room(self, admission: Admission, seconds_left: float | None, *, wait: bool) -> None:
        try:
            async with asyncio.timeout(seconds_left):
                while excess := self._excess(admission):
                    if not wait:
                        raise errors.queue_full(self._retry_seconds(admission.lane, excess))
                    await self._changes.wait()
        except TimeoutError:
            raise errors.deadline_passed_in_queue() from None

    def _excess(self, admission: Admission) -> int:
        """By how many tokens a call does not fit; 0 when it does."""
        if self._closed:
            raise errors.model_stopped()
        if not self._lines:
            raise errors.model_not_ready()
        if refusal := self._line_of(admission.lane).refusal:
            raise refusal
        if self._is_late(admission):
            raise errors.deadline_passed_in_queue()
        return self._queue.excess(admission.lane, admission.organisation_id, admission.held)

    def _retry_seconds(self, lane: Lane, excess: int) -> float:
        """When ``excess`` tokens of the lane will have gone through the model, at its latest speed."""
        seconds = excess / self._line_of(lane).tokens_per_second
        return round(min(max(_SOONEST_RETRY_SECONDS, seconds), _LATEST_RETRY_SECONDS), 1)

    def _line_of(self, lane: Lane) -> Line:
        return next(line for line in self._lines if lane in line.lanes)

    def _is_late(self, admission: Admission) -> bool:
        return admission.deadline is not None and admission.deadline <= self._clock()

    def _why_unqueued(self, admission: Admission, error: BaseException) -> DropReason:
        if self._is_late(admission):
            return DropReason.DEADLINE_PASSED
        if self._closed:
            return DropReason.STOPPED
        return DropReason.CALLER_LEFT if isinstance(error, asyncio.CancelledError) else DropReason.REFUSED
