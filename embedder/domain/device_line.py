"""One engine at work: its threads, its speed, and the watch over a device that hangs."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from embedder.domain.batching import Item, Lane
from embedder.domain.encoding import Encoder, EncoderFailed, Vectors
from embedder.domain.engine import Engine, Engines
from embedder.domain.line import ASSUMED_TOKENS_PER_SECOND, SPEED_WEIGHT, Line
from shared.errors import AppError

# A batch that takes so many times what its size suggests is not slow: its device hangs.
_TIMES_TOO_LONG = 20.0


class DeviceLine:
    """An engine with its threads, and the lanes that it takes its batches from; implements `embedder.domain.line.Line`.

    One batch a stream, and one prepared behind them: the device never waits, and urgent work that shares the engine waits for two small
    batches at most.
    """

    def __init__(self, engine: Engine, lanes: tuple[Lane, ...], *, stall_seconds: float) -> None:
        """Start nothing yet; threads come with the first batches.

        Args:
            engine: what runs the batches.
            lanes: where they come from.
            stall_seconds: the least time after which a batch may be taken for one that never ends.
        """
        self.lanes = lanes
        self.refusal: AppError | None = None
        self.dimension = engine.encoder.spec.dimension
        self._engine = engine
        self.room = asyncio.Semaphore(engine.streams + 1)
        self._stall_seconds = stall_seconds
        self._tokens_per_second = ASSUMED_TOKENS_PER_SECOND
        self._device = engine.device_threads or ThreadPoolExecutor(max_workers=engine.streams, thread_name_prefix="encoder-device")
        self._preparing = ThreadPoolExecutor(max_workers=1, thread_name_prefix="encoder-prepare")
        self._batches = 0

    @property
    def tokens_per_second(self) -> float:
        """What all of its streams together did lately."""
        return self._tokens_per_second * self._engine.streams

    async def ready(self, within: float) -> bool:  # noqa: ARG002  # a device is never unready
        return True

    async def encode(self, batch: Sequence[Item[Any]]) -> tuple[Vectors, float]:
        """The vectors, and how many seconds the device took.

        Raises:
            EncoderFailed: the device is lost, or the batch has taken so long that the device must be taken for hung.
        """
        texts = [item.tokens for item in batch]
        tokens = sum(map(len, texts))
        limit = max(self._stall_seconds, _TIMES_TOO_LONG * tokens / self._tokens_per_second)
        self._batches += 1
        try:
            async with asyncio.timeout(limit) as watch:
                vectors, seconds = await self._encode(texts)
        except TimeoutError as error:
            if not watch.expired():
                raise
            raise EncoderFailed(f"A batch of {tokens} tokens has not come back from the device for {limit:.0f} s.") from error
        finally:
            self._batches -= 1
        self._tokens_per_second += SPEED_WEIGHT * (tokens / max(seconds, 1e-6) - self._tokens_per_second)
        return vectors, seconds

    async def _encode(self, texts: Sequence[Any]) -> tuple[Vectors, float]:
        loop = asyncio.get_running_loop()
        encoder = self._engine.encoder
        if self._batches <= self._engine.streams:
            # Nothing to wait for: another thread would only cost its wake-up.
            return await loop.run_in_executor(self._device, _prepare_and_run, encoder, texts)
        prepared = await loop.run_in_executor(self._preparing, encoder.encode_pre, texts)
        return await loop.run_in_executor(self._device, _run_on_device, encoder, prepared)

    async def stop(self) -> None:
        """Let the threads end, without waiting for them: one may hang in the device. Threads shared with other engines stay."""
        if self._device is not self._engine.device_threads:
            self._device.shutdown(wait=False, cancel_futures=True)
        self._preparing.shutdown(wait=False, cancel_futures=True)


def open_device_lines(engines: Engines, *, stall_seconds: float) -> list[Line]:
    """A line for each engine."""
    if engines.interactive is engines.bulk:
        return [DeviceLine(engines.bulk, (Lane.INTERACTIVE, Lane.BULK), stall_seconds=stall_seconds)]
    return [
        DeviceLine(engines.interactive, (Lane.INTERACTIVE,), stall_seconds=stall_seconds),
        DeviceLine(engines.bulk, (Lane.BULK,), stall_seconds=stall_seconds),
    ]


def _prepare_and_run(encoder: Encoder[Any, Any], texts: Sequence[Any]) -> tuple[Vectors, float]:
    return _run_on_device(encoder, encoder.encode_pre(texts))


def _run_on_device(encoder: Encoder[Any, Any], prepared: Any) -> tuple[Vectors, float]:
    began = time.perf_counter()
    vectors = encoder.encode_post(encoder.encode_core(prepared))
    return vectors, time.perf_counter() - began
