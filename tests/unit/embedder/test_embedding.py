"""A call's way from its texts to its vectors: room first, then tokens, then the model."""

from __future__ import annotations

import asyncio
import re
import threading
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import numpy as np
import pytest
from numpy.typing import NDArray

from embedder.domain.batcher import Batcher
from embedder.domain.batching import BatchLimits, DropReason, Lane
from embedder.domain.embedding import Model, TextEmbedder, Urgency
from embedder.domain.encoding import Task, TokenIds
from embedder.domain.engine import Engines
from shared.errors import AppError
from tests.unit.embedder.scripted import SPEC, Device, Ledger, ScriptedEncoder

BULK = Urgency(Lane.BULK)


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class WordTokenizer:
    """A token a word; holds every call until `open`, when it was told to."""

    vocabulary_size = 1_000_000

    def __init__(self) -> None:
        self.entered = threading.Event()
        self.gate = threading.Event()
        self.gate.set()

    def tokenize(self, texts: Sequence[str], task: Task) -> list[TokenIds]:
        self.entered.set()
        assert self.gate.wait(20)
        return [[len(word) for word in text.split()] for text in texts]

    def locate(self, texts: Sequence[str]) -> list[NDArray[np.uint32]]:
        return [np.array([word.start() for word in re.finditer(r"\S+", text)], dtype=np.uint32) for text in texts]


@dataclass
class Bench:
    """A text embedder over a scripted model."""

    clock: Clock = field(default_factory=Clock)
    ledger: Ledger = field(default_factory=Ledger)
    tokenizer: WordTokenizer = field(default_factory=WordTokenizer)
    device: Device = field(default_factory=Device)

    def __post_init__(self) -> None:
        self.encoder = ScriptedEncoder(self.device)
        self.batcher = Batcher(BatchLimits(64, 256, queue_tokens=1_000), self.ledger, self.clock)
        self.threads = ThreadPoolExecutor(1)
        self.embedder = TextEmbedder(Model(SPEC, "cpu"), self.tokenizer, self.batcher, self.threads)

    async def tokenizing(self) -> None:
        """Return once a call is being tokenised."""
        assert await asyncio.to_thread(self.tokenizer.entered.wait, 20)


@asynccontextmanager
async def running(bench: Bench) -> AsyncIterator[None]:
    run = asyncio.create_task(bench.batcher.run(Engines.shared(bench.encoder, "fp32")))
    await asyncio.sleep(0)
    try:
        yield
    finally:
        bench.tokenizer.gate.set()
        bench.device.open()
        run.cancel()
        await asyncio.gather(run, return_exceptions=True)
        bench.threads.shutdown()


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    made = Bench()
    async with running(made):
        yield made


async def test_a_call_whose_time_ends_while_it_is_tokenised_never_reaches_the_model_and_is_counted(bench: Bench) -> None:
    bench.tokenizer.gate.clear()
    call = asyncio.create_task(bench.embedder.embed(["one two", "three"], Task.PASSAGE, "a", Urgency(Lane.BULK, seconds_left=5.0)))
    await bench.tokenizing()
    bench.clock.now = 6.0
    bench.tokenizer.gate.set()
    outcome = await call
    assert [row.reason for row in outcome.rows if isinstance(row, AppError)] == ["DEADLINE_PASSED_IN_QUEUE"] * 2
    assert bench.ledger.drops == [DropReason.DEADLINE_PASSED] * 2
    assert bench.encoder.seen == []


async def test_a_call_that_is_cut_off_at_its_deadline_while_it_is_tokenised_is_counted_as_late(bench: Bench) -> None:
    bench.tokenizer.gate.clear()
    call = asyncio.create_task(bench.embedder.embed(["one two", "three"], Task.PASSAGE, "a", Urgency(Lane.BULK, seconds_left=5.0)))
    await bench.tokenizing()
    bench.clock.now = 5.0
    call.cancel()
    await asyncio.gather(call, return_exceptions=True)
    assert bench.ledger.drops == [DropReason.DEADLINE_PASSED] * 2
    assert bench.ledger.tokens[Lane.BULK] == 0
    assert bench.encoder.seen == []


async def test_a_caller_that_leaves_while_its_texts_are_tokenised_is_counted_and_gives_its_room_back(bench: Bench) -> None:
    bench.tokenizer.gate.clear()
    call = asyncio.create_task(bench.embedder.embed(["one two three"] * 4, Task.PASSAGE, "a", BULK))
    await bench.tokenizing()
    assert bench.ledger.tokens[Lane.BULK] > 0
    call.cancel()
    await asyncio.gather(call, return_exceptions=True)
    assert bench.ledger.drops == [DropReason.CALLER_LEFT] * 4
    assert bench.ledger.tokens[Lane.BULK] == 0


async def test_a_call_whose_time_is_over_when_it_comes_is_not_tokenised(bench: Bench) -> None:
    with pytest.raises(AppError, match="DEADLINE_PASSED_IN_QUEUE"):
        await bench.embedder.embed(["one two"] * 2, Task.PASSAGE, "a", Urgency(Lane.BULK, seconds_left=0.0))
    assert not bench.tokenizer.entered.is_set()
    assert bench.ledger.drops == [DropReason.DEADLINE_PASSED] * 2


async def test_a_call_for_which_there_is_no_room_is_refused_before_it_is_tokenised(bench: Bench) -> None:
    bench.tokenizer.gate.clear()
    held = asyncio.create_task(bench.embedder.embed(["word " * 600], Task.PASSAGE, "a", BULK))
    await bench.tokenizing()
    bench.tokenizer.entered.clear()
    with pytest.raises(AppError, match="EMBEDDER_BUSY") as refused:
        await bench.embedder.embed(["word " * 600] * 3, Task.PASSAGE, "a", BULK)
    assert refused.value.retry_after_seconds is not None
    assert not bench.tokenizer.entered.is_set()
    assert bench.ledger.drops == [DropReason.REFUSED] * 3
    held.cancel()


async def test_one_organisations_load_leaves_room_for_anothers_call(bench: Bench) -> None:
    bench.tokenizer.gate.clear()
    large = [asyncio.create_task(bench.embedder.embed(["word " * 300], Task.PASSAGE, "large", BULK)) for _ in range(10)]
    await bench.tokenizing()
    small = asyncio.create_task(bench.embedder.embed(["a few words"] * 3, Task.PASSAGE, "small", BULK))
    await asyncio.sleep(0)
    bench.tokenizer.gate.set()
    bench.device.open()
    assert (await small).matrix().shape == (3, 3)
    outcomes = await asyncio.gather(*large, return_exceptions=True)
    assert {str(outcome)[:13] for outcome in outcomes if isinstance(outcome, AppError)} == {"EMBEDDER_BUSY"}


async def test_a_stream_waits_for_room_no_longer_than_its_caller_waits(bench: Bench) -> None:
    bench.tokenizer.gate.clear()
    held = asyncio.create_task(bench.embedder.embed(["word " * 900], Task.PASSAGE, "a", BULK))
    await bench.tokenizing()
    urgency = Urgency(Lane.BULK, seconds_left=0.05, wait_for_room=True)
    with pytest.raises(AppError, match="DEADLINE_PASSED_IN_QUEUE"):
        await asyncio.wait_for(bench.embedder.embed(["word " * 900], Task.PASSAGE, "a", urgency), 20)
    held.cancel()


async def test_time_spent_waiting_for_room_is_told_as_time_in_the_queue(bench: Bench) -> None:
    bench.tokenizer.gate.clear()
    first = asyncio.create_task(bench.embedder.embed(["word " * 900], Task.PASSAGE, "a", BULK))
    await bench.tokenizing()
    urgency = Urgency(Lane.BULK, wait_for_room=True)
    second = asyncio.create_task(bench.embedder.embed(["word " * 900], Task.PASSAGE, "a", urgency))
    loop = asyncio.get_running_loop()
    began = loop.time()
    await asyncio.to_thread(threading.Event().wait, 0.1)
    waited = loop.time() - began
    bench.tokenizer.gate.set()
    bench.device.open()
    await first
    timings = (await second).timings
    assert timings.queue >= waited > timings.tokenize
