"""Which models are in memory: loaded when asked for, within the budget, and never under somebody's hands."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import numpy as np
import pytest
from numpy.typing import NDArray

from embedder.domain import registry
from embedder.domain.batcher import Batcher
from embedder.domain.batching import BatchLimits, Lane
from embedder.domain.embedding import Model, ModelKind, ModelState, TextEmbedder, Urgency
from embedder.domain.encoding import EncoderFailed, EncoderSpec, Task, TokenIds, Vectors
from embedder.domain.engine import Engines
from embedder.domain.models import Description
from embedder.domain.registry import ModelRegistry
from embedder.domain.reranking import TextReranker, TokenPair
from shared.errors import AppError
from tests.unit.embedder.scripted import Ledger

LONGEST_SECONDS = 20.0
LIMITS = BatchLimits(64, 256, queue_tokens=10_000)


class LetterTokenizer:
    vocabulary_size = 1_000

    def tokenize(self, texts: Sequence[str], task: Task) -> list[TokenIds]:
        return [[ord(letter) for letter in text] for text in texts]

    def tokenize_pairs(self, query: str, texts: Sequence[str]) -> list[TokenPair]:
        ids = [[ord(letter) for letter in query + text] for text in texts]
        return [TokenPair(each, [0] * len(each)) for each in ids]

    def locate(self, texts: Sequence[str]) -> list[NDArray[np.uint32]]:
        return [np.arange(len(text), dtype=np.uint32) for text in texts]


class SizeEncoder:
    """Makes each text's length its vector, or its score."""

    def __init__(self, spec: EncoderSpec, *, lost: bool = False) -> None:
        self.spec = spec
        self._lost = lost

    def encode_pre(self, batch: Sequence[TokenIds | TokenPair]) -> list[int]:
        return [len(each) for each in batch]

    def encode_core(self, prepared: list[int]) -> list[int]:
        if self._lost:
            raise EncoderFailed("the device is gone")
        return prepared

    def encode_post(self, raw: list[int]) -> Vectors:
        return np.array([[float(size)] * self.spec.dimension for size in raw], dtype=np.float32)


@dataclass
class Source:
    """A model of a given size whose loading a test may hold up or break."""

    name: str
    memory_bytes: int = 10
    kind: ModelKind = ModelKind.EMBEDDING
    device: str = "cpu"
    problem: str = ""
    lost: bool = False
    loads: int = 0
    releases: int = 0
    gate: threading.Event = field(default_factory=threading.Event)
    loading: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self.gate.set()
        self.threads = ThreadPoolExecutor(1)

    @property
    def spec(self) -> EncoderSpec:
        return EncoderSpec(self.name, "r1", 3 if self.kind is ModelKind.EMBEDDING else 1, 512, normalised=False)

    def describe(self) -> Description:
        return Description(self.spec, self.memory_bytes)

    def prepare(self, model: Model) -> TextEmbedder | TextReranker:
        kind = TextEmbedder if self.kind is ModelKind.EMBEDDING else TextReranker
        return kind(model, LetterTokenizer(), Batcher(LIMITS, Ledger()), self.threads)

    def load(self) -> Engines:
        self.loads += 1
        self.loading.set()
        assert self.gate.wait(LONGEST_SECONDS)
        if self.problem:
            raise ValueError(self.problem)
        return Engines.shared(SizeEncoder(self.spec, lost=self.lost), "fp32")

    def held_bytes(self, precision: str) -> int:
        return self.memory_bytes

    def release(self) -> None:
        self.releases += 1


class States:
    """Keeps what an observer hears."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, ModelState]] = []

    async def model_changed(self, model: Model) -> None:
        if not self.heard or self.heard[-1] != (model.spec.name, model.state):
            self.heard.append((model.spec.name, model.state))


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        self.now += 1e-6
        return self.now


@asynccontextmanager
async def serving(*others: Source, budget: int, clock: Clock | None = None, states: States | None = None) -> AsyncIterator[ModelRegistry]:
    """A registry whose current model, of 10 bytes, is loaded."""
    models = ModelRegistry([Source("current"), *others], states or States(), budget_bytes=budget, clock=clock or Clock())
    await models.prepare_current()
    await models.load_current()
    try:
        yield models
    finally:
        for source in others:
            source.gate.set()
        await asyncio.wait_for(models.close(), LONGEST_SECONDS)
        assert [model.spec.name for model in models.models() if model.state is ModelState.READY] == []


async def size(models: ModelRegistry, name: str, text: str = "pump", seconds_left: float | None = LONGEST_SECONDS) -> float:
    """What the model makes of the text: its length."""
    async with models.embedder(name, seconds_left) as embedder:
        embedded = await embedder.embed([text], Task.PASSAGE, "org", Urgency(Lane.INTERACTIVE, seconds_left))
        return float(embedded.matrix()[0, 0])


def states(models: ModelRegistry) -> dict[str, ModelState]:
    return {model.spec.name: model.state for model in models.models()}


async def until(condition: Callable[[], bool]) -> None:
    """Give the loop turns until the condition holds."""
    async with asyncio.timeout(LONGEST_SECONDS):
        while not condition():  # noqa: ASYNC110  # what is waited for tells nobody
            await asyncio.sleep(0)


async def test_the_empty_name_is_the_current_model_which_is_loaded_from_the_start() -> None:
    async with serving(Source("other"), budget=100) as models:
        assert await size(models, "") == 4
        assert await size(models, "current", "valve") == 5
        assert states(models) == {"current": ModelState.READY, "other": ModelState.UNLOADED}
        assert models.current.spec.name == "current"


async def test_a_model_is_loaded_by_the_first_call_and_calls_that_come_meanwhile_share_that_load() -> None:
    other = Source("other")
    other.gate.clear()
    async with serving(other, budget=100) as models:
        calls = [asyncio.create_task(size(models, "other", "x" * length)) for length in range(1, 9)]
        await asyncio.to_thread(other.loading.wait, LONGEST_SECONDS)
        assert states(models)["other"] is ModelState.LOADING
        assert await size(models, "") == 4
        other.gate.set()
        assert await asyncio.gather(*calls) == list(range(1, 9))
        assert other.loads == 1
        assert models.models()[1].precision == "fp32"


async def test_the_least_recently_used_idle_model_makes_room_and_the_current_one_never_does() -> None:
    first, second, third = Source("first"), Source("second"), Source("third")
    async with serving(first, second, third, budget=30) as models:
        await size(models, "first")
        await size(models, "second")
        await size(models, "first")
        await size(models, "third")
        loaded = {name for name, state in states(models).items() if state is ModelState.READY}
        assert loaded == {"current", "first", "third"}
        assert second.releases == 1
        await size(models, "second")
        assert states(models)["first"] is ModelState.UNLOADED
        assert (first.loads, second.loads, third.loads) == (1, 2, 1)


async def test_a_model_that_is_in_use_stays_until_its_call_ends() -> None:
    first, second = Source("first"), Source("second")
    async with serving(first, second, budget=20) as models:
        async with models.embedder("first", None) as embedder:
            waiting = asyncio.create_task(size(models, "second"))
            await until(lambda: len(models._loads) == 1)
            for _ in range(50):
                await asyncio.sleep(0)
            assert states(models)["first"] is ModelState.READY
            assert second.loads == 0
            assert (await embedder.embed(["x"], Task.PASSAGE, "org", Urgency(Lane.BULK))).token_count == 1
        assert await waiting == 4
        assert states(models)["first"] is ModelState.UNLOADED


async def test_when_all_models_stay_in_use_the_call_is_refused_with_a_time_to_come_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "ROOM_SECONDS", 0.01)
    async with serving(Source("first"), Source("second"), budget=20) as models, models.embedder("first", None):
        with pytest.raises(AppError, match="MODELS_BUSY") as refused:
            await size(models, "second")
        assert refused.value.retry_after_seconds
        assert states(models)["second"] is ModelState.UNLOADED


async def test_a_model_that_can_never_fit_is_refused_with_what_it_needs_and_nothing_is_unloaded_for_it() -> None:
    large, small = Source("large", memory_bytes=91 * 2**20), Source("small")
    async with serving(large, small, budget=90 * 2**20) as models:
        await size(models, "small")
        with pytest.raises(AppError, match=r"91 MiB .* 90 MiB .* LECTERN_EMBEDDER_MODELS_MEMORY_MIB") as refused:
            await size(models, "large")
        assert refused.value.reason == "MODEL_TOO_LARGE"
        assert large.loads == 0
        assert states(models)["small"] is ModelState.READY


async def test_a_model_that_cannot_be_loaded_says_why_and_is_tried_again_after_a_pause() -> None:
    other, clock = Source("other", problem="weights are missing"), Clock()
    async with serving(other, budget=20, clock=clock) as models:
        for _ in range(3):
            with pytest.raises(AppError, match="MODEL_FAILED") as failed:
                await size(models, "other")
            assert 0 < (failed.value.retry_after_seconds or 0) <= registry.RETRY_SECONDS
        assert other.loads == 1
        assert (models.models()[1].state, models.models()[1].failure) == (ModelState.FAILED, "weights are missing")
        clock.now += registry.RETRY_SECONDS
        other.problem = ""
        assert await size(models, "other") == 4
        assert (models.models()[1].state, models.models()[1].failure) == (ModelState.READY, "")


async def test_a_failed_load_takes_no_share_of_the_budget() -> None:
    broken, other = Source("broken", problem="no"), Source("other")
    async with serving(broken, other, budget=20) as models:
        with pytest.raises(AppError, match="MODEL_FAILED"):
            await size(models, "broken")
        assert await size(models, "other") == 4


async def test_a_caller_whose_time_ends_is_told_so_and_the_load_goes_on_without_it() -> None:
    other = Source("other")
    other.gate.clear()
    async with serving(other, budget=20) as models:
        with pytest.raises(AppError, match="DEADLINE_PASSED_IN_LOADING"):
            await size(models, "other", seconds_left=0.01)
        cancelled = asyncio.create_task(size(models, "other"))
        await until(lambda: models._entries["other"].users == 1)
        cancelled.cancel()
        await asyncio.gather(cancelled, return_exceptions=True)
        other.gate.set()
        assert await size(models, "other") == 4
        assert other.loads == 1


async def test_names_that_are_none_and_models_of_the_other_kind_are_refused() -> None:
    async with serving(Source("reranker", kind=ModelKind.RERANKER), budget=20) as models:
        for name, reason in {"none": "MODEL_NOT_FOUND", "reranker": "WRONG_MODEL_KIND"}.items():
            with pytest.raises(AppError, match=reason):
                await size(models, name)
        with pytest.raises(AppError, match="WRONG_MODEL_KIND"):
            async with models.reranker("current", None):
                pass
    async with serving(budget=20) as models:
        with pytest.raises(AppError, match="NO_RERANKER"):
            async with models.reranker("", None):
                pass


async def test_the_first_reranker_serves_the_empty_name_and_scores_in_the_order_of_the_texts() -> None:
    sources = [Source("a", kind=ModelKind.RERANKER), Source("b", kind=ModelKind.RERANKER)]
    async with serving(*sources, budget=40) as models, models.reranker("", None) as reranker:
        assert reranker.model.spec.name == "a"
        outcome = await reranker.rerank("pump", ["xxx", "", "x"], "org", Urgency(Lane.INTERACTIVE), raw=True)
        assert outcome.scores.tolist() == [7, 4, 5]
        assert outcome.token_count == 16
        between = await reranker.rerank("p", ["x" * 60, "x"], "org", Urgency(Lane.INTERACTIVE), raw=False)
        np.testing.assert_allclose(between.scores, 1 / (1 + np.exp([-61.0, -2.0])), rtol=1e-6)
        with pytest.raises(AppError, match="EMPTY_QUERY"):
            await reranker.rerank(" ", ["x"], "org", Urgency(Lane.INTERACTIVE), raw=True)


async def test_a_lost_device_fails_the_model_and_the_registry() -> None:
    async with serving(Source("other", lost=True), budget=20) as models:
        with pytest.raises(AppError, match="MODEL_STOPPED"):
            await size(models, "other")
        with pytest.raises(EncoderFailed, match="the device is gone"):
            await asyncio.wait_for(models.failure, LONGEST_SECONDS)
        assert models.models()[1].failure == "the device is gone"


async def test_every_change_of_state_is_told() -> None:
    told = States()
    async with serving(Source("other"), Source("third"), budget=20, states=told) as models:
        await size(models, "other")
        await size(models, "third")
    of_other = [state for name, state in told.heard if name == "other"]
    assert of_other == [ModelState.UNLOADED, ModelState.LOADING, ModelState.READY, ModelState.UNLOADED]


async def test_models_that_hold_no_memory_are_loaded_whatever_the_budget_and_never_unloaded() -> None:
    remote, other = Source("remote", memory_bytes=0), Source("other")
    async with serving(remote, other, budget=20) as models:
        await size(models, "remote")
        await size(models, "other")
        assert states(models)["remote"] is ModelState.READY
