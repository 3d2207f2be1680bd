"""One engine at work: its threads, its speed, and the watch over a device that hangs."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence, Sized
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from embedder.domain.batching import Lane
from embedder.domain.encoding import Encoder, EncoderFailed, Vectors
from embedder.domain.engine import Engine, Engines

# Until a batch was measured.
_ASSUMED_TOKENS_PER_SECOND = 5_000.0
# Of the last batch in the average.
_WEIGHT = 0.1
# A batch that takes so many times what its size suggests is not slow: its device hangs.
_TIMES_TOO_LONG = 20.0


class Line:
    """An engine with its threads, and the lanes that it takes its batches from.

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
        self.engine = engine
        self.lanes = lanes
        self.room = asyncio.Semaphore(engine.streams + 1)
        self._stall_seconds = stall_seconds
        self._tokens_per_second = _ASSUMED_TOKENS_PER_SECOND
        self._device = engine.device_threads or ThreadPoolExecutor(max_workers=engine.streams, thread_name_prefix="encoder-device")
        self._preparing = ThreadPoolExecutor(max_workers=1, thread_name_prefix="encoder-prepare")
        self._batches = 0

    @property
    def tokens_per_second(self) -> float:
        """What all of its streams together did lately."""
        return self._tokens_per_second * self.engine.streams

    async def encode(self, texts: list[Sized]) -> tuple[Vectors, float]:
        """The vectors, and how many seconds the device took.

        Raises:
            EncoderFailed: the device is lost, or the batch has taken so long that the device must be taken for hung.
        """
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
        self._tokens_per_second += _WEIGHT * (tokens / max(seconds, 1e-6) - self._tokens_per_second)
        return vectors, seconds

    async def _encode(self, texts: list[Sized]) -> tuple[Vectors, float]:
        loop = asyncio.get_running_loop()
        encoder = self.engine.encoder
        if self._batches <= self.engine.streams:
            # Nothing to wait for: another thread would only cost its wake-up.
            return await loop.run_in_executor(self._device, _prepare_and_run, encoder, texts)
        prepared = await loop.run_in_executor(self._preparing, encoder.encode_pre, texts)
        return await loop.run_in_executor(self._device, _run_on_device, encoder, prepared)

    def stop(self) -> None:
        """Let the threads end, without waiting for them: one may hang in the device. Threads shared with other engines stay."""
        if self._device is not self.engine.device_threads:
            self._device.shutdown(wait=False, cancel_futures=True)
        self._preparing.shutdown(wait=False, cancel_futures=True)


def open_lines(engines: Engines, *, stall_seconds: float) -> list[Line]:
    """A line for each engine."""
    if engines.interactive is engines.bulk:
        return [Line(engines.bulk, (Lane.INTERACTIVE, Lane.BULK), stall_seconds=stall_seconds)]
    return [
        Line(engines.interactive, (Lane.INTERACTIVE,), stall_seconds=stall_seconds),
        Line(engines.bulk, (Lane.BULK,), stall_seconds=stall_seconds),
    ]


def _prepare_and_run(encoder: Encoder[Any, Any], texts: Sequence[Sized]) -> tuple[Vectors, float]:
    return _run_on_device(encoder, encoder.encode_pre(texts))


def _run_on_device(encoder: Encoder[Any, Any], prepared: Any) -> tuple[Vectors, float]:
    began = time.perf_counter()
    vectors = encoder.encode_post(encoder.encode_core(prepared))
    return vectors, time.perf_counter() - began
