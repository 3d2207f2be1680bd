from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

import numpy as np
import pytest

from embedder.domain.batcher import Batcher, Embedded
from embedder.domain.batching import BatchLimits, DropReason, Lane
from embedder.domain.encoding import EncoderFailed, EncoderSpec, TokenIds, Vectors
from embedder.domain.engine import Engine, Engines
from shared.errors import AppError

SPEC = EncoderSpec("echo", "1", 2, 512, normalised=False)
LIMITS = BatchLimits(batch_tokens=64, window_tokens=256, queue_tokens=2_000)


class EchoEncoder:
    """Gives each text the vector (first token, number of tokens), unless ``misbehave`` says otherwise."""

    spec = SPEC

    def __init__(self, misbehave: Callable[[Sequence[TokenIds], Vectors], Vectors] | None = None) -> None:
        self._misbehave = misbehave
        self.batches: list[int] = []

    def encode_pre(self, batch: Sequence[TokenIds]) -> list[TokenIds]:
        return list(batch)

    def encode_core(self, prepared: list[TokenIds]) -> Vectors:
        self.batches.append(len(prepared))
        vectors = np.array([(tokens[0], len(tokens)) for tokens in prepared], dtype=np.float32)
        return self._misbehave(prepared, vectors) if self._misbehave else vectors

    def encode_post(self, raw: Vectors) -> Vectors:
        return raw


class Silence:
    """An observer that counts drops and forgets the rest."""

    def __init__(self) -> None:
        self.drops: list[DropReason] = []
        self.padding: list[tuple[int, int]] = []

    def dropped(self, lane: Lane, reason: DropReason, texts: int = 1) -> None:
        self.drops += [reason] * texts

    def queued(self, lane: Lane, tokens: int) -> None: ...

    def waited(self, lane: Lane, seconds: float) -> None:
        assert seconds >= 0

    def batch_encoded(self, *, texts: int, tokens: int, padded_tokens: int, budget_tokens: int, seconds: float) -> None:
        self.padding.append((tokens, padded_tokens))


def one_engine(encoder: EchoEncoder) -> Engines:
    """Both lanes on one device, as on a GPU."""
    return Engines.shared(encoder, "fp32")


def two_engines(encoder: EchoEncoder) -> Engines:
    """A lane each, as on a CPU."""
    return Engines(Engine(encoder), Engine(encoder, streams=2), "fp32")


def text(name: int, length: int) -> TokenIds:
    return [name, *[0] * (length - 1)]


async def submit(batcher: Batcher, *texts: TokenIds, lane: Lane = Lane.BULK, seconds: float | None = None) -> list[Embedded | AppError]:
    return await batcher.submit(texts, lane=lane, organisation_id="a", seconds_left=seconds)


@asynccontextmanager
async def running(batcher: Batcher, encoder: EchoEncoder) -> AsyncIterator[None]:
    task = asyncio.create_task(batcher.run(one_engine(encoder)))
    await asyncio.sleep(0)
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_each_text_gets_its_own_vector_in_the_order_of_the_call() -> None:
    batcher = Batcher(LIMITS, Silence())
    async with running(batcher, EchoEncoder()):
        outcomes = await submit(batcher, text(1, 9), text(2, 3), text(3, 60), text(4, 3))
    vectors = [outcome.vector.tolist() for outcome in outcomes if isinstance(outcome, Embedded)]
    assert vectors == [[1, 9], [2, 3], [3, 60], [4, 3]]


async def test_calls_that_wait_together_share_a_batch() -> None:
    batcher, encoder = Batcher(LIMITS, Silence()), Gate()
    async with running(batcher, encoder):
        first = asyncio.create_task(submit(batcher, text(9, 60)))
        await encoder.entered()
        second = asyncio.create_task(submit(batcher, text(9, 60)))
        await asyncio.sleep(0)
        calls = [asyncio.create_task(submit(batcher, text(name, 4))) for name in range(1, 9)]
        await asyncio.sleep(0)
        encoder.open()
        outcomes = [outcome for outcomes in await asyncio.gather(*calls) for outcome in outcomes]
        await asyncio.gather(first, second)
    assert [outcome.vector[0] for outcome in outcomes if isinstance(outcome, Embedded)] == list(range(1, 9))
    assert encoder.batches == [1, 1, 8]


async def test_nothing_is_admitted_before_the_model_is_ready() -> None:
    with pytest.raises(AppError) as refused:
        await submit(Batcher(LIMITS, Silence()), text(1, 3))
    assert refused.value.reason == "MODEL_NOT_READY"


async def test_one_text_that_breaks_the_encoder_does_not_fail_its_neighbours() -> None:
    def break_on_seven(batch: Sequence[TokenIds], vectors: Vectors) -> Vectors:
        if any(tokens[0] == 7 for tokens in batch):
            raise MemoryError
        return vectors

    batcher = Batcher(LIMITS, Silence())
    async with running(batcher, EchoEncoder(break_on_seven)):
        outcomes = await submit(batcher, *[text(name, 4) for name in range(1, 13)])
    failed = [position for position, outcome in enumerate(outcomes, start=1) if isinstance(outcome, AppError)]
    assert failed == [7]
    assert isinstance(outcomes[6], AppError)
    assert outcomes[6].reason == "ENCODING_FAILED"


@pytest.mark.parametrize(
    ("value", "reason"),
    [(np.nan, "VECTOR_NOT_FINITE"), (np.inf, "VECTOR_NOT_FINITE"), (0.0, "VECTOR_WITHOUT_LENGTH")],
)
async def test_a_vector_that_cannot_be_used_is_refused_for_its_text_alone(value: float, reason: str) -> None:
    def spoil_two(batch: Sequence[TokenIds], vectors: Vectors) -> Vectors:
        vectors[[tokens[0] == 2 for tokens in batch]] = value
        return vectors

    batcher = Batcher(LIMITS, Silence())
    async with running(batcher, EchoEncoder(spoil_two)):
        outcomes = await submit(batcher, text(1, 3), text(2, 3), text(3, 3))
    assert [getattr(outcome, "reason", "") for outcome in outcomes] == ["", reason, ""]


async def test_vectors_of_the_wrong_dimension_are_refused() -> None:
    batcher = Batcher(LIMITS, Silence())
    async with running(batcher, EchoEncoder(lambda batch, _: np.ones((len(batch), 3), dtype=np.float32))):
        (outcome,) = await submit(batcher, text(1, 3))
    assert isinstance(outcome, AppError)
    assert outcome.reason == "VECTOR_WRONG_DIMENSION"


async def test_a_full_queue_refuses_with_a_time_to_come_back() -> None:
    batcher, encoder = Batcher(LIMITS, Silence()), Gate()
    async with running(batcher, encoder):
        waiting = asyncio.create_task(submit(batcher, *[text(1, 60)] * 40))
        await encoder.entered()
        with pytest.raises(AppError) as refused:
            await submit(batcher, text(2, 60))
        encoder.open()
        await waiting
    assert refused.value.reason == "EMBEDDER_BUSY"
    assert refused.value.retry_after_seconds is not None
    assert refused.value.retry_after_seconds >= 1


async def test_a_stream_waits_for_room_instead_of_being_refused() -> None:
    batcher, encoder = Batcher(LIMITS, Silence()), Gate()
    async with running(batcher, encoder):
        first = asyncio.create_task(submit(batcher, *[text(1, 60)] * 40))
        await encoder.entered()
        second = asyncio.create_task(
            batcher.submit([text(2, 60)], lane=Lane.BULK, organisation_id="a", seconds_left=None, wait_for_room=True)
        )
        await asyncio.sleep(0)
        assert not second.done()
        encoder.open()
        await first
        (outcome,) = await second
    assert isinstance(outcome, Embedded)


async def test_a_call_that_is_cancelled_leaves_the_queue() -> None:
    silence, encoder = Silence(), Gate()
    batcher = Batcher(LIMITS, silence)
    async with running(batcher, encoder):
        stays = asyncio.create_task(submit(batcher, text(1, 60), text(1, 60), text(1, 60)))
        await encoder.entered()
        leaves = asyncio.create_task(submit(batcher, text(2, 60)))
        await asyncio.sleep(0)
        leaves.cancel()
        await asyncio.gather(leaves, return_exceptions=True)
        encoder.open()
        await stays
        await submit(batcher, text(3, 5))
    assert silence.drops == [DropReason.CALLER_LEFT]


async def test_a_lost_device_ends_every_call_and_the_run() -> None:
    def lose(batch: Sequence[TokenIds], vectors: Vectors) -> Vectors:
        raise EncoderFailed("gone")

    batcher = Batcher(LIMITS, Silence())
    run = asyncio.create_task(batcher.run(one_engine(EchoEncoder(lose))))
    await asyncio.sleep(0)
    outcomes = await submit(batcher, *[text(name, 30) for name in range(1, 20)])
    assert {outcome.reason for outcome in outcomes if isinstance(outcome, AppError)} == {"MODEL_STOPPED"}
    assert len(outcomes) == 19
    with pytest.raises(EncoderFailed):
        await run
    with pytest.raises(AppError) as refused:
        await submit(batcher, text(1, 3))
    assert refused.value.reason == "MODEL_STOPPED"


async def test_a_device_that_hangs_is_taken_for_lost() -> None:
    batcher, hung = Batcher(LIMITS, Silence(), stall_seconds=0.05), Gate()
    run = asyncio.create_task(batcher.run(one_engine(hung)))
    await asyncio.sleep(0)
    outcomes = await asyncio.wait_for(submit(batcher, *[text(name, 30) for name in range(1, 10)]), 10)
    assert [outcome.reason for outcome in outcomes if isinstance(outcome, AppError)] == ["MODEL_STOPPED"] * 9
    with pytest.raises(EncoderFailed, match="has not come back from the device"):
        await asyncio.wait_for(run, 10)
    hung.open()


async def test_a_slow_device_is_given_far_longer_than_its_batches_take() -> None:
    """A batch of 5,000 tokens at the 5,000 a second that a model is thought to do gets 20 s, whatever the setting says."""
    batcher, slow = Batcher(LIMITS, Silence(), stall_seconds=0.001), Gate()
    async with running(batcher, slow):
        call = asyncio.create_task(submit(batcher, text(1, 5_000)))
        await slow.entered()
        await asyncio.to_thread(threading.Event().wait, 0.05)
        slow.open()
        (outcome,) = await call
    assert isinstance(outcome, Embedded)


async def test_a_time_out_of_the_encoder_itself_concerns_its_text_alone() -> None:
    def time_out(batch: Sequence[TokenIds], vectors: Vectors) -> Vectors:
        if any(tokens[0] == 2 for tokens in batch):
            raise TimeoutError
        return vectors

    batcher = Batcher(LIMITS, Silence())
    async with running(batcher, EchoEncoder(time_out)):
        outcomes = await submit(batcher, text(1, 3), text(2, 3), text(3, 3))
    assert [getattr(outcome, "reason", "") for outcome in outcomes] == ["", "ENCODING_FAILED", ""]


async def test_urgent_work_on_an_engine_of_its_own_does_not_wait_for_bulk_work() -> None:
    batcher, busy = Batcher(LIMITS, Silence()), Gate()
    run = asyncio.create_task(batcher.run(Engines(Engine(EchoEncoder()), Engine(busy), "fp32")))
    await asyncio.sleep(0)
    bulk = asyncio.create_task(submit(batcher, text(1, 60), text(1, 60), text(1, 60)))
    await busy.entered()
    (urgent,) = await asyncio.wait_for(submit(batcher, text(2, 5), lane=Lane.INTERACTIVE), 10)
    assert isinstance(urgent, Embedded)
    assert not bulk.done()
    busy.open()
    assert all(isinstance(outcome, Embedded) for outcome in await bulk)
    run.cancel()
    await asyncio.gather(run, return_exceptions=True)


async def test_an_engine_runs_a_batch_on_each_of_its_streams_at_once() -> None:
    together = threading.Barrier(2)

    def meet(batch: Sequence[TokenIds], vectors: Vectors) -> Vectors:
        together.wait(10)
        return vectors

    batcher = Batcher(LIMITS, Silence())
    run = asyncio.create_task(batcher.run(two_engines(EchoEncoder(meet))))
    await asyncio.sleep(0)
    outcomes = await submit(batcher, text(1, 60), text(1, 60))
    assert [type(outcome) for outcome in outcomes] == [Embedded, Embedded]
    run.cancel()
    await asyncio.gather(run, return_exceptions=True)


async def test_a_device_lost_to_one_lane_ends_the_calls_of_both() -> None:
    def lose(batch: Sequence[TokenIds], vectors: Vectors) -> Vectors:
        raise EncoderFailed("gone")

    batcher, busy = Batcher(LIMITS, Silence()), Gate()
    run = asyncio.create_task(batcher.run(Engines(Engine(EchoEncoder(lose)), Engine(busy), "fp32")))
    await asyncio.sleep(0)
    bulk = asyncio.create_task(submit(batcher, text(1, 60), text(1, 60), text(1, 60)))
    await busy.entered()
    (urgent,) = await submit(batcher, text(2, 5), lane=Lane.INTERACTIVE)
    busy.open()
    assert {outcome.reason for outcome in (urgent, *await bulk) if isinstance(outcome, AppError)} == {"MODEL_STOPPED"}
    with pytest.raises(EncoderFailed):
        await run


class Gate(EchoEncoder):
    """An encoder whose device is busy until `open`."""

    def __init__(self) -> None:
        super().__init__()
        self._opened = threading.Event()
        self._entered = asyncio.Event()
        self._loop = asyncio.get_running_loop()

    async def entered(self) -> None:
        await asyncio.wait_for(self._entered.wait(), 10)

    def open(self) -> None:
        self._opened.set()

    def encode_core(self, prepared: list[TokenIds]) -> Vectors:
        self._loop.call_soon_threadsafe(self._entered.set)
        assert self._opened.wait(10)
        return super().encode_core(prepared)
