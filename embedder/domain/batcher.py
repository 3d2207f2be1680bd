"""Keeps a model's engines fed: one queue in front, device threads behind, a batch prepared ahead."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import structlog

from embedder import errors
from embedder.domain.batching import BatchLimits, BatchQueue, DropReason, Item, Lane, QueueObserver
from embedder.domain.encoding import Encoder, EncoderFailed, TokenIds, Vectors
from embedder.domain.engine import Engine, Engines
from shared.errors import AppError

log = structlog.get_logger()
# Used for the first retry hint, before a rate was measured.
_ASSUMED_TOKENS_PER_SECOND = 5_000.0


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


class _Line:
    """An engine with its threads, and the lanes that it takes its batches from.

    One batch a stream, and one prepared behind them: the device never waits, and urgent work that shares the engine waits for two small
    batches at most.
    """

    def __init__(self, engine: Engine, lanes: tuple[Lane, ...]) -> None:
        self.engine = engine
        self.lanes = lanes
        self.room = asyncio.Semaphore(engine.streams + 1)
        self._device = ThreadPoolExecutor(max_workers=engine.streams, thread_name_prefix="encoder-device")
        self._preparing = ThreadPoolExecutor(max_workers=1, thread_name_prefix="encoder-prepare")
        self._batches = 0

    async def encode(self, texts: list[TokenIds]) -> tuple[Vectors, float]:
        """The vectors, and how many seconds the device took."""
        loop = asyncio.get_running_loop()
        encoder = self.engine.encoder
        self._batches += 1
        try:
            if self._batches <= self.engine.streams:
                # Nothing to wait for: another thread would only cost its wake-up.
                return await loop.run_in_executor(self._device, lambda: _run_on_device(encoder, encoder.encode_pre(texts)))
            prepared = await loop.run_in_executor(self._preparing, encoder.encode_pre, texts)
            return await loop.run_in_executor(self._device, _run_on_device, encoder, prepared)
        finally:
            self._batches -= 1

    def stop(self) -> None:
        """Let the threads end. A model that hangs must not keep the process from ending, so they are not waited for."""
        self._device.shutdown(wait=False, cancel_futures=True)
        self._preparing.shutdown(wait=False, cancel_futures=True)


class Batcher:
    """Embeds token sequences of many callers in shared batches.

    Nothing is admitted before `run` has engines. Every `submit` ends: with results, with an exception, or cancelled.
    """

    def __init__(self, limits: BatchLimits, observer: BatchObserver, clock: Callable[[], float] = time.monotonic) -> None:
        self._limits = limits
        self._lines: list[_Line] = []
        self._observer = observer
        self._clock = clock
        self._queue: BatchQueue[Embedded] = BatchQueue(limits, clock=clock, observer=observer)
        self._changed = asyncio.Event()
        self._batch_number = 0
        self._tokens_per_second = _ASSUMED_TOKENS_PER_SECOND
        self._stopped = False
        self._in_flight: set[Item[Embedded]] = set()

    async def submit(
        self,
        texts: Sequence[TokenIds],
        *,
        lane: Lane,
        organisation_id: str,
        seconds_left: float | None,
        wait_for_room: bool = False,
    ) -> list[Embedded | AppError]:
        """Embed ``texts``; each gets its vector, or the error that concerns it alone.

        Args:
            texts: token ids, special tokens included.
            lane: how urgent they are.
            organisation_id: whose turn they take.
            seconds_left: how long the caller waits; texts not begun by then are dropped.
            wait_for_room: wait while the queue is full instead of being refused; for streams, whose sender is held back meanwhile.

        Raises:
            AppError: EMBEDDER_BUSY, MODEL_NOT_READY, or MODEL_STOPPED; then nothing was queued.
        """
        await self._admit(lane, sum(map(len, texts)), wait_for_room=wait_for_room)
        loop = asyncio.get_running_loop()
        now = self._clock()
        deadline = None if seconds_left is None else now + seconds_left
        items = [Item[Embedded](tokens, lane, organisation_id, deadline, now, loop.create_future()) for tokens in texts]
        self._queue.add(items)
        self._announce_change()
        outcomes = await asyncio.gather(*(item.future for item in items), return_exceptions=True)
        return [_outcome(outcome) for outcome in outcomes]

    async def run(self, engines: Engines) -> None:
        """Feed ``engines`` until cancelled.

        Raises:
            EncoderFailed: a device is lost; every waiting call has been told. The process should end.
        """
        self._lines = _lines(engines)
        try:
            async with asyncio.TaskGroup() as tasks:
                for line in self._lines:
                    tasks.create_task(self._feed(line, tasks))
        except BaseExceptionGroup as group:
            raise EncoderFailed(str(group.exceptions[0])) from group
        finally:
            self._stop()

    async def _feed(self, line: _Line, tasks: asyncio.TaskGroup) -> None:
        while True:
            await line.room.acquire()
            batch = await self._next_batch(line)
            tasks.create_task(self._process(line, batch))

    async def _admit(self, lane: Lane, tokens: int, *, wait_for_room: bool) -> None:
        while True:
            if self._stopped:
                raise errors.model_stopped()
            if not self._lines:
                raise errors.model_not_ready()
            if self._queue.has_room(lane, tokens):
                return
            if not wait_for_room:
                raise errors.queue_full(round(max(1.0, self._queue.queued_tokens(lane) / self._tokens_per_second), 1))
            await self._changed.wait()

    async def _next_batch(self, line: _Line) -> list[Item[Embedded]]:
        while not (batch := self._queue.next_batch(line.lanes)):
            await self._changed.wait()
        self._in_flight.update(batch)
        self._announce_change()
        return batch

    def _announce_change(self) -> None:
        """Wake everybody who waits for work or for room. Nobody awaits between looking and waiting, so no change is missed."""
        self._changed.set()
        self._changed = asyncio.Event()

    async def _process(self, line: _Line, batch: list[Item[Embedded]]) -> None:
        try:
            await self._encode(line, batch)
        finally:
            for item in batch:
                _end(item, errors.model_stopped())
            self._in_flight.difference_update(batch)
            line.room.release()

    async def _encode(self, line: _Line, batch: list[Item[Embedded]]) -> None:
        """Run one batch; when it fails, run its halves, so that one bad text or a lack of memory does not fail its neighbours."""
        begun = self._clock()
        try:
            vectors, seconds = await line.encode([item.tokens for item in batch])
        except EncoderFailed:
            raise
        except Exception as error:
            log.warning("batch_failed", items=len(batch), error=type(error).__name__, exc_info=len(batch) == 1)
            if len(batch) == 1:
                _end(batch[0], errors.encoding_failed())
                return
            middle = len(batch) // 2
            await self._encode(line, batch[:middle])
            await self._encode(line, batch[middle:])
            return
        self._resolve(line.engine, batch, vectors, begun, seconds)

    def _resolve(self, engine: Engine, batch: list[Item[Embedded]], vectors: Vectors, begun: float, seconds: float) -> None:
        self._batch_number += 1
        tokens = sum(item.cost for item in batch)
        self._tokens_per_second = 0.9 * self._tokens_per_second + 0.1 * engine.streams * tokens / max(seconds, 1e-6)
        padded = len(batch) * max(item.cost for item in batch)
        self._observer.batch_encoded(
            texts=len(batch), tokens=tokens, padded_tokens=padded, budget_tokens=self._limits.batch_tokens, seconds=seconds
        )
        problems = _problems(vectors, len(batch), engine.encoder.spec.dimension)
        for item, problem, vector in zip(batch, problems, vectors, strict=False):
            self._observer.waited(item.lane, begun - item.queued_at)
            if problem:
                _end(item, errors.vector_refused(problem))
            elif not item.future.done():
                item.future.set_result(Embedded(vector, item.cost, begun - item.queued_at, self._batch_number, seconds))

    def _stop(self) -> None:
        self._stopped = True
        waiting = self._queue.drain()
        for item in waiting:
            self._observer.dropped(item.lane, DropReason.STOPPED)
        for item in (*waiting, *self._in_flight):
            _end(item, errors.model_stopped())
        self._announce_change()
        for line in self._lines:
            line.stop()


def _lines(engines: Engines) -> list[_Line]:
    if engines.interactive is engines.bulk:
        return [_Line(engines.bulk, (Lane.INTERACTIVE, Lane.BULK))]
    return [_Line(engines.interactive, (Lane.INTERACTIVE,)), _Line(engines.bulk, (Lane.BULK,))]


def _run_on_device(encoder: Encoder[Any, Any], prepared: Any) -> tuple[Vectors, float]:
    began = time.perf_counter()
    vectors = encoder.encode_post(encoder.encode_core(prepared))
    return vectors, time.perf_counter() - began


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
    return [None if 0 < each < math.inf else "VECTOR_WITHOUT_LENGTH" if each == 0 else "VECTOR_NOT_FINITE" for each in largest]
