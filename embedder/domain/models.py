"""One configured model: closed, loaded, and closed again."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import structlog

from embedder.domain.embedding import Model, ModelKind, ModelState, TextEmbedder
from embedder.domain.encoding import EncoderFailed, EncoderSpec
from embedder.domain.engine import ModelEngines, RemoteEngine
from embedder.domain.reranking import TextReranker
from shared.errors import AppError

log = structlog.get_logger()
Runner = TextEmbedder | TextReranker


@dataclass(frozen=True, slots=True)
class Description:
    """What a model's files tell before its weights are read.

    Attributes:
        memory_bytes: what it will hold of its device's memory at most.
    """

    spec: EncoderSpec
    memory_bytes: int


class ModelSource(Protocol):
    """Where a configured model comes from. The methods block: call them off the event loop, one at a time."""

    @property
    def name(self) -> str: ...

    @property
    def kind(self) -> ModelKind: ...

    @property
    def device(self) -> str: ...

    def describe(self) -> Description:
        """Read what the model says about itself. Raises whatever is wrong with it, in words for an operator."""
        ...

    def prepare(self, model: Model) -> Runner:
        """Open the tokenizer, and put a queue in front of engines to come."""
        ...

    def load(self) -> ModelEngines:
        """Read the weights, prove them, and warm up. Raises whatever is wrong with them, in words for an operator."""
        ...

    def held_bytes(self, precision: str) -> int:
        """What the loaded model holds of its device's memory. Does not block."""
        ...

    def release(self) -> None:
        """Give memory back that nothing refers to any more."""
        ...


class ModelObserver(Protocol):
    """Hears whenever a model's state changes; for health and metrics."""

    async def model_changed(self, model: Model) -> None: ...


class LoadableModel:
    """A configured model and, while it is loaded, what runs it.

    Each has a batcher of its own, because only texts for the same weights can share a batch. Models on one GPU share its thread (see
    `Engine.device_threads`), so that their batches take turns there; on a CPU the operating system shares the cores out.

    Attributes:
        model: what others may know of it.
        runner: takes calls; there once the model is prepared.
        users: calls that use the model or wait for it; one that has any stays.
        used_at: when the last of them ended, on the owner's clock.
    """

    def __init__(self, source: ModelSource, observer: ModelObserver, on_lost: Callable[[EncoderFailed], None]) -> None:
        """Configure a model; nothing of it is read yet.

        Args:
            source: where it comes from.
            observer: hears of every state.
            on_lost: told when the model's device is lost.
        """
        spec = EncoderSpec(source.name, revision="", dimension=0, max_length_tokens=0, normalised=False)
        self.model = Model(spec, source.device, ModelState.UNLOADED, kind=source.kind)
        self.runner: Runner | None = None
        self.users = 0
        self.used_at = 0.0
        self._source = source
        self._observer = observer
        self._on_lost = on_lost
        self._feeding: asyncio.Task[None] | None = None

    @property
    def loaded(self) -> bool:
        return self._feeding is not None

    async def describe(self) -> None:
        """Read what the model's files tell, unless that was done. Raises whatever is wrong with them."""
        if not self.model.spec.revision:
            described = await asyncio.to_thread(self._source.describe)
            self.model.spec, self.model.memory_bytes = described.spec, described.memory_bytes
            await self._observer.model_changed(self.model)

    async def prepare(self) -> Runner:
        """Open the tokenizer, unless that was done; calls on the runner are refused until the model is loaded."""
        if self.runner is None:
            self.runner = await asyncio.to_thread(self._source.prepare, self.model)
        return self.runner

    async def load(self) -> None:
        """Read the weights and serve calls from now on. Raises whatever is wrong with the model, which is then closed."""
        began = time.perf_counter()
        await self._set_state(ModelState.LOADING)
        try:
            runner = await self.prepare()
            engines = await asyncio.to_thread(self._source.load)
        except BaseException:
            self.runner = None
            raise
        if isinstance(engines, RemoteEngine):
            engines.tell = self._follow_server
        model = self.model
        model.precision, model.memory_bytes = engines.precision, self._source.held_bytes(engines.precision)
        self._feeding = asyncio.create_task(self._feed(runner, engines))
        # The runner takes calls from that task's first step on.
        await asyncio.sleep(0)
        await self._set_state(ModelState.READY)
        log.info(
            "model_ready",
            model=model.spec.name,
            revision=model.spec.revision[:12],
            device=model.device,
            precision=model.precision,
            memory_bytes=model.memory_bytes,
            seconds=round(time.perf_counter() - began, 2),
        )

    async def unload(self) -> None:
        """End the model's threads and give its memory back; calls that still use it end with MODEL_STOPPED."""
        feeding, self._feeding, self.runner = self._feeding, None, None
        if feeding:
            feeding.cancel()
            await asyncio.gather(feeding, return_exceptions=True)
        await self._set_state(ModelState.UNLOADED)
        await asyncio.to_thread(self._source.release)
        log.info("model_unloaded", model=self.model.spec.name, memory_bytes=self.model.memory_bytes)

    async def refused(self) -> None:
        """There was no room for the model; nothing is wrong with it."""
        await self._set_state(ModelState.UNLOADED)

    async def failed(self, error: Exception) -> None:
        """Keep why the model could not be described or loaded."""
        await self._set_state(ModelState.FAILED, str(error) or type(error).__name__)

    async def _feed(self, runner: Runner, engines: ModelEngines) -> None:
        """Run the model's batches; when its device is lost, say so."""
        try:
            await runner.run(engines)
        except EncoderFailed as error:
            log.exception("model_failed", model=self.model.spec.name)
            await self._set_state(ModelState.FAILED, str(error))
            self._on_lost(error)

    async def _follow_server(self, refusal: AppError | None) -> None:
        """The model stays loaded while its server cannot be used, and serves again when it can."""
        await self._set_state(ModelState.FAILED if refusal else ModelState.READY, refusal.message if refusal else "")

    async def _set_state(self, state: ModelState, failure: str = "") -> None:
        self.model.state, self.model.failure = state, failure
        await self._observer.model_changed(self.model)
