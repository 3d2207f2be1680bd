"""Keeps a model's engines fed: one queue in front, device threads behind, a batch prepared ahead."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable, Sequence, Sized
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import structlog

from embedder import errors
from embedder.domain.admission import Admission, Changes, Gate
from embedder.domain.back_end import TextsRefused
from embedder.domain.batching import BatchLimits, BatchQueue, DropReason, Item, Lane, QueueObserver
from embedder.domain.device_line import open_device_lines
from embedder.domain.encoding import EncoderFailed, Vectors
from embedder.domain.engine import ModelEngines, RemoteEngine
from embedder.domain.line import BatchPostponed, Line
from embedder.domain.remote_line import RemoteLine
from shared.errors import AppError

log = structlog.get_logger()
# How long texts whose deadline passed may wait to be told so while a line is not ready.
_SWEEP_SECONDS = 0.25


@dataclass(frozen=True, slots=True)
class Embedded:
    """One text's vector and what it cost.

    Shapes:
        vector: (dimension,).
    """

    vector: Vectors
    token_count: int
    queue_seconds: float
    batch_number: int
    inference_seconds: float


class BatchObserver(QueueObserver, Protocol):
    """Hears about queue and batches; for metrics."""

    def waited(self, lane: Lane, seconds: float) -> None: ...

    def batch_encoded(self, *, texts: int, tokens: int, padded_tokens: int, budget_tokens: int, seconds: float) -> None: ...


class Batcher:
    """Embeds token sequences of many callers in shared batches.

    Nothing is admitted before `run` has engines. Every call ends: with results, with an exception, or cancelled.
    """

    def __init__(
        self, limits: BatchLimits, observer: BatchObserver, clock: Callable[[], float] = time.monotonic, *, stall_seconds: float = 120.0
    ) -> None:
        """Put a queue in front of engines to come.

        Args:
            limits: sizes of batches and queue.
            observer: hears what happens.
            clock: what deadlines are on; seconds.
            stall_seconds: a batch that takes so long, and far longer than batches of its size did, means that its device hangs.
        """
        self._limits = limits
        self._stall_seconds = stall_seconds
        self._lines: list[Line] = []
        self._observer = observer
        self._clock = clock
        self._queue: BatchQueue[Embedded] = BatchQueue(limits, clock=clock, observer=observer)
        self._changes = Changes()
        self._gate = Gate(self._queue, observer, self._changes, clock)
        self._batch_number = 0
        self._in_flight: set[Item[Embedded]] = set()

    async def submit(
        self,
        texts: Sequence[Sized],
        *,
        lane: Lane,
        organisation_id: str,
        seconds_left: float | None,
        wait_for_room: bool = False,
    ) -> list[Embedded | AppError]:
        """`admit` and `embed` for texts that are tokenised already."""
        admitted = self.admit(
            lane, organisation_id, texts=len(texts), tokens=sum(map(len, texts)), seconds_left=seconds_left, wait_for_room=wait_for_room
        )
        async with admitted as admission:
            return await self.embed(admission, texts)

    def admit(
        self, lane: Lane, organisation_id: str, *, texts: int, tokens: int, seconds_left: float | None, wait_for_room: bool = False
    ) -> AbstractAsyncContextManager[Admission]:
        """Hold room for a call until the context is left, so that who is refused costs no more than the refusal.

        Args:
            lane: how urgent its texts are.
            organisation_id: whose turn they take, and whose share of the lane.
            texts: how many they are.
            tokens: what they will cost, as well as that can be told.
            seconds_left: how long the caller waits; texts not begun by then are dropped.
            wait_for_room: wait while there is none instead of being refused; for streams, whose sender is held back meanwhile.

        Raises:
            AppError: EMBEDDER_BUSY, MODEL_NOT_READY, MODEL_STOPPED or DEADLINE_PASSED_IN_QUEUE; then nothing was queued.
        """
        return self._gate.admit(lane, organisation_id, texts=texts, tokens=tokens, seconds_left=seconds_left, wait_for_room=wait_for_room)

    async def embed(self, admission: Admission, texts: Sequence[Sized]) -> list[Embedded | AppError]:
        """Embed an admitted call's texts; each gets its vector, or the error that concerns it alone.

        Args:
            admission: the call's, to be used once.
            texts: what the encoder takes for each; its length is its number of tokens, special tokens included.

        Raises:
            AppError: MODEL_STOPPED; then nothing was queued.
        """
        loop = asyncio.get_running_loop()
        now = self._clock()
        lane, organisation_id = admission.lane, admission.organisation_id
        items = [Item[Embedded](tokens, lane, organisation_id, admission.deadline, now, loop.create_future()) for tokens in texts]
        self._gate.enqueue(admission, items)
        outcomes = await asyncio.gather(*(item.future for item in items), return_exceptions=True)
        return [_outcome(outcome) for outcome in outcomes]

    async def run(self, engines: ModelEngines) -> None:
        """Feed ``engines`` until cancelled.

        Raises:
            EncoderFailed: a device is lost or hangs; every waiting call has been told. The process should end.
        """
        if isinstance(engines, RemoteEngine):
            self._lines = [RemoteLine(engines, self._clock)]
        else:
            self._lines = open_device_lines(engines, stall_seconds=self._stall_seconds)
        self._gate.open(self._lines)
        try:
            async with asyncio.TaskGroup() as tasks:
                for line in self._lines:
                    tasks.create_task(self._feed(line, tasks))
        except BaseExceptionGroup as group:
            raise EncoderFailed(str(group.exceptions[0])) from group
        finally:
            await self._stop()

    async def _feed(self, line: Line, tasks: asyncio.TaskGroup) -> None:
        while True:
            await line.room.acquire()
            batch = await self._next_batch(line)
            tasks.create_task(self._process(line, batch))

    async def _next_batch(self, line: Line) -> list[Item[Embedded]]:
        while True:
            await self._until_ready(line)
            if batch := self._queue.next_batch(line.lanes):
                break
            await self._changes.wait()
        self._in_flight.update(batch)
        self._changes.announce()
        return batch

    async def _until_ready(self, line: Line) -> None:
        """Meanwhile nobody waits beyond their deadline, and nobody for a line that takes no texts."""
        while not await line.ready(_SWEEP_SECONDS):
            if line.refusal:
                for item in self._queue.drain():
                    self._observer.dropped(item.lane, DropReason.REFUSED)
                    _end(item, line.refusal)
            else:
                self._queue.drop_unwanted()
            self._changes.announce()

    async def _process(self, line: Line, batch: list[Item[Embedded]]) -> None:
        try:
            await self._encode(line, batch)
        except BatchPostponed:
            self._in_flight.difference_update(batch)
            self._queue.take_back(batch)
            batch = []
        finally:
            for item in batch:
                _end(item, errors.model_stopped())
            self._in_flight.difference_update(batch)
            line.room.release()
            self._changes.announce()

    async def _encode(self, line: Line, batch: list[Item[Embedded]]) -> None:
        """Run one batch; when it fails, run its halves, so that one bad text or a lack of memory does not fail its neighbours."""
        begun = self._clock()
        try:
            vectors, seconds = await line.encode(batch)
        except (EncoderFailed, BatchPostponed):
            raise
        except AppError as error:
            for item in batch:
                _end(item, error)
            return
        except Exception as error:
            refused = error.error if isinstance(error, TextsRefused) else None
            log.warning("batch_failed", items=len(batch), error=type(error).__name__, exc_info=len(batch) == 1 and not refused)
            if len(batch) == 1:
                _end(batch[0], refused or errors.encoding_failed())
                return
            middle = len(batch) // 2
            await self._encode(line, batch[:middle])
            await self._encode(line, batch[middle:])
            return
        self._resolve(line, batch, vectors, begun, seconds)

    def _resolve(self, line: Line, batch: list[Item[Embedded]], vectors: Vectors, begun: float, seconds: float) -> None:
        self._batch_number += 1
        tokens = sum(item.cost for item in batch)
        padded = len(batch) * max(item.cost for item in batch)
        self._observer.batch_encoded(
            texts=len(batch), tokens=tokens, padded_tokens=padded, budget_tokens=self._limits.batch_tokens, seconds=seconds
        )
        problems = _problems(vectors, len(batch), line.dimension)
        for item, problem, vector in zip(batch, problems, vectors, strict=False):
            self._observer.waited(item.lane, begun - item.queued_at)
            if problem:
                _end(item, errors.vector_refused(problem))
            elif not item.future.done():
                item.future.set_result(Embedded(vector, item.cost, begun - item.queued_at, self._batch_number, seconds))

    async def _stop(self) -> None:
        self._gate.close()
        waiting = self._queue.drain()
        for item in waiting:
            self._observer.dropped(item.lane, DropReason.STOPPED)
        for item in (*waiting, *self._in_flight):
            _end(item, errors.model_stopped())
        self._changes.announce()
        for line in self._lines:
            await line.stop()


def _end(item: Item[Embedded], error: AppError) -> None:
    if not item.future.done():
        item.future.set_exception(error)


def _outcome(outcome: Embedded | BaseException) -> Embedded | AppError:
    if isinstance(outcome, Embedded | AppError):
        return outcome
    raise outcome


def _problems(vectors: Vectors, count: int, dimension: int) -> list[str | None]:
    """Why each row may not be used; None for those that may.

    A model that returns another shape than it promised is wrong about every text of the batch.
    """
    if vectors.shape != (count, dimension):
        return ["VECTOR_WRONG_DIMENSION"] * count
    largest: list[float] = np.abs(vectors).max(axis=1).tolist()
    # A single element is a score, and zero a score like any other.
    least = 0.0 if dimension > 1 else -1.0
    return [None if least < each < math.inf else "VECTOR_WITHOUT_LENGTH" if each == 0 else "VECTOR_NOT_FINITE" for each in largest]
