"""Whatever happens in whatever order to the batcher, every call ends, and with what is its own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from structlog.testing import capture_logs

from embedder.domain.batcher import Batcher, Embedded
from embedder.domain.batching import BatchLimits, Lane
from embedder.domain.encoding import EncoderFailed, TokenIds
from embedder.domain.engine import Engine, Engines
from shared.errors import AppError
from tests.unit.embedder.scripted import Device, Ledger, ScriptedEncoder, Verdict, text, vector

LIMITS = BatchLimits(batch_tokens=64, window_tokens=256, queue_tokens=600)
# Names of texts that break every batch that they are in.
POISON = frozenset(range(0, 10_000, 7))
REFUSALS = {"EMBEDDER_BUSY", "MODEL_STOPPED", "DEADLINE_PASSED_IN_QUEUE"}
OF_A_TEXT = {"ENCODING_FAILED", "MODEL_STOPPED", "DEADLINE_PASSED_IN_QUEUE"}


@dataclass(frozen=True)
class Call:
    """A call in flight, and how its caller asked."""

    task: asyncio.Task[list[Embedded | AppError]]
    texts: list[TokenIds]
    tokenized: asyncio.Event
    cancelled: list[bool]


def one_device(device: Device) -> Engines:
    return Engines.shared(ScriptedEncoder(device, POISON), "fp32")


def two_devices(device: Device) -> Engines:
    return Engines(Engine(ScriptedEncoder(device, POISON)), Engine(ScriptedEncoder(device, POISON), streams=2), "fp32")


class BatcherMachine(RuleBasedStateMachine):
    """Callers come, wait, leave and run out of time; batches are served, break or take the device with them; the model is stopped."""

    def __init__(self) -> None:
        super().__init__()
        self._logs = capture_logs()
        self._logs.__enter__()
        self._runner = asyncio.Runner()
        self._device = Device()
        self._ledger = Ledger()
        self._now = 0.0
        self._names = iter(range(1, 10_000))
        self._calls: list[Call] = []
        self._ended = False

    @initialize(engines=st.sampled_from([one_device, two_devices]))
    def begin(self, engines: Callable[[Device], Engines]) -> None:
        async def start() -> None:
            self._batcher = Batcher(LIMITS, self._ledger, lambda: self._now)
            self._run = asyncio.create_task(self._batcher.run(engines(self._device)))
            await asyncio.sleep(0)

        self._runner.run(start())

    @rule(
        lengths=st.lists(st.integers(1, 70), min_size=1, max_size=8),
        lane=st.sampled_from(Lane),
        organisation=st.sampled_from("abc"),
        seconds=st.none() | st.integers(0, 3),
        waits=st.booleans(),
        tokenized=st.booleans(),
    )
    def call(self, lengths: list[int], lane: Lane, organisation: str, seconds: int | None, *, waits: bool, tokenized: bool) -> None:
        """Somebody calls; with ``tokenized`` false, the call holds its room without having queued its texts."""
        texts = [text(next(self._names), length) for length in lengths]
        thought = sum(lengths) + len(lengths) % 3 * 20  # what was thought before tokenising need not be true

        async def embed(ready: asyncio.Event) -> list[Embedded | AppError]:
            seconds_left = None if seconds is None else float(seconds)
            async with self._batcher.admit(
                lane, organisation, texts=len(texts), tokens=thought, seconds_left=seconds_left, wait_for_room=waits
            ) as admission:
                await ready.wait()
                return await self._batcher.embed(admission, texts)

        async def begin() -> None:
            ready = asyncio.Event()
            if tokenized:
                ready.set()
            self._calls.append(Call(asyncio.create_task(embed(ready)), texts, ready, []))
            await settle()

        self._runner.run(begin())

    @precondition(lambda self: self._calls)
    @rule(data=st.data())
    def tokenize(self, data: st.DataObject) -> None:
        self._runner.run(self._change(data.draw(st.sampled_from(self._calls)).tokenized.set))

    @precondition(lambda self: self._calls)
    @rule(data=st.data())
    def leave(self, data: st.DataObject) -> None:
        call = data.draw(st.sampled_from(self._calls))
        call.cancelled.append(True)
        self._runner.run(self._change(call.task.cancel))

    @rule(verdict=st.sampled_from([Verdict.SERVED, Verdict.SERVED, Verdict.SERVED, Verdict.BROKEN]), times=st.integers(1, 4))
    def run_batches(self, verdict: Verdict, times: int) -> None:
        for _ in range(times):
            self._runner.run(self._change(lambda: self._device.decide(verdict)))

    @rule(seconds=st.integers(1, 2))
    def wait(self, seconds: int) -> None:
        self._now += seconds

    @rule()
    def lose_the_device(self) -> None:
        self._ended = True
        self._runner.run(self._change(self._device.lose))

    @rule()
    def stop(self) -> None:
        self._ended = True
        self._runner.run(self._change(self._run.cancel))

    @invariant()
    def what_has_ended_has_ended_well(self) -> None:
        for call in self._calls:
            if call.task.done():
                check(call, stopped=self._ended)

    def teardown(self) -> None:
        """Let everything that is under way end: it must, soon, and leave nothing behind."""
        with suppress(AttributeError):
            self._runner.run(asyncio.wait_for(self._end(), 10))
        self._runner.close()
        self._logs.__exit__(None, None, None)

    async def _end(self) -> None:
        for call in self._calls:
            call.tokenized.set()
        self._device.open()
        await asyncio.gather(*(call.task for call in self._calls), return_exceptions=True)
        self.what_has_ended_has_ended_well()
        self._run.cancel()
        (ended,) = await asyncio.gather(self._run, return_exceptions=True)
        assert isinstance(ended, asyncio.CancelledError | EncoderFailed), ended
        assert self._ledger.tokens == dict.fromkeys(Lane, 0)
        with pytest.raises(AppError, match="MODEL_STOPPED"):
            await self._batcher.submit([text(1, 3)], lane=Lane.BULK, organisation_id="a", seconds_left=None, wait_for_room=True)

    async def _change(self, change: Callable[[], Any]) -> None:
        change()
        await settle()


async def settle() -> None:
    """Let the loop run what is ready to run."""
    for _ in range(5):
        await asyncio.sleep(0)


def check(call: Call, *, stopped: bool) -> None:
    if call.task.cancelled():
        assert call.cancelled
        return
    error = call.task.exception()
    if error is not None:
        assert isinstance(error, AppError), error
        assert error.reason in REFUSALS
        assert stopped or error.reason != "MODEL_STOPPED"
        return
    for tokens, outcome in zip(call.texts, call.task.result(), strict=True):
        if isinstance(outcome, Embedded):
            assert outcome.vector.tolist() == vector(tokens)
            assert tokens[0] not in POISON
        else:
            assert outcome.reason in OF_A_TEXT
            assert stopped or outcome.reason != "MODEL_STOPPED"


TestWhateverHappensEveryCallEndsWithWhatIsItsOwn = BatcherMachine.TestCase
TestWhateverHappensEveryCallEndsWithWhatIsItsOwn.settings = settings(max_examples=150, stateful_step_count=30, deadline=None)
