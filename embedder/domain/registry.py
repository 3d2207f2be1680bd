"""The configured models: which of them are in memory, and who makes room for whom."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

import structlog

from embedder import errors
from embedder.domain.embedding import Model, ModelKind, TextEmbedder
from embedder.domain.encoding import EncoderFailed
from embedder.domain.models import LoadableModel, ModelObserver, ModelSource, Runner
from embedder.domain.reranking import TextReranker
from shared.errors import AppError

log = structlog.get_logger()
# A model that could not be loaded is tried again no sooner, whoever asks.
RETRY_SECONDS = 30.0
# How long a model waits for others to become idle, and a caller without a deadline for a model.
ROOM_SECONDS, LOADING_SECONDS = 30.0, 600.0


class ModelRegistry:
    """Keeps the current model loaded, loads another when it is first asked for, and unloads idle ones to stay within a memory budget.

    Attributes:
        failure: ends with `EncoderFailed` when a device is lost; the process should end.
    """

    def __init__(
        self, sources: Sequence[ModelSource], observer: ModelObserver, *, budget_bytes: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Configure models; none is loaded yet.

        Args:
            sources: the first is the current model, which new passages and queries use; names are unique.
            observer: hears of every state.
            budget_bytes: what all loaded models together may hold. The current model is loaded even where it alone holds more.
            clock: seconds.
        """
        self._entries = {source.name: LoadableModel(source, observer, self._lose) for source in sources}
        self._current = self._entries[sources[0].name]
        self._budget_bytes = budget_bytes
        self._held_bytes = 0
        self._clock = clock
        self._loads: dict[LoadableModel, asyncio.Task[AppError | None]] = {}
        self._retry_at: dict[LoadableModel, float] = {}
        self._changed = asyncio.Event()
        self.failure: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    @property
    def current(self) -> Model:
        return self._current.model

    def models(self) -> list[Model]:
        """Every configured model, the current one first."""
        return [entry.model for entry in self._entries.values()]

    async def prepare_current(self) -> TextEmbedder:
        """Describe every model and open the current one's tokenizer; calls on it are refused until `load_current` is done.

        Another model that cannot be described is FAILED, and tried again when it is asked for.

        Raises:
            Exception: whatever is wrong with the current model.
        """
        await self._current.describe()
        for entry in self._entries.values():
            try:
                await entry.describe()
            except Exception as error:
                log.warning("model_not_described", model=entry.model.spec.name, exc_info=True)
                await entry.failed(error)
        runner = await self._current.prepare()
        if not isinstance(runner, TextEmbedder):
            raise TypeError("The current model must be one that embeds.")
        return runner

    async def load_current(self) -> None:
        """Load and warm the current model. Raises whatever is wrong with it."""
        await self._current.load()
        self._held_bytes += self.current.memory_bytes

    @asynccontextmanager
    async def embedder(self, name: str, seconds_left: float | None) -> AsyncIterator[TextEmbedder]:
        """The embedder of a model, which is loaded first where it is not, and stays until the context is left.

        Args:
            name: a model's; empty for the current one.
            seconds_left: how long the caller waits for the model to be loaded; None for as long as that may take.

        Raises:
            AppError: MODEL_NOT_FOUND, WRONG_MODEL_KIND, MODEL_NOT_READY, MODEL_FAILED, MODEL_TOO_LARGE, MODELS_BUSY or
                DEADLINE_PASSED_IN_LOADING.
        """
        entry = self._find(name, ModelKind.EMBEDDING) if name else self._current
        async with self._in_use(entry, seconds_left) as runner:
            if not isinstance(runner, TextEmbedder):
                raise errors.wrong_model_kind(entry.model.spec.name, ModelKind.EMBEDDING.value)
            yield runner

    @asynccontextmanager
    async def reranker(self, name: str, seconds_left: float | None) -> AsyncIterator[TextReranker]:
        """As `embedder`, for rerankers; the empty name is the first that is configured.

        Raises:
            AppError: NO_RERANKER, and as `embedder`.
        """
        entry = self._find(name, ModelKind.RERANKER) if name else self._first_reranker()
        async with self._in_use(entry, seconds_left) as runner:
            if not isinstance(runner, TextReranker):
                raise errors.wrong_model_kind(entry.model.spec.name, ModelKind.RERANKER.value)
            yield runner

    async def close(self) -> None:
        """Stop every model; calls that wait are told."""
        loads = list(self._loads.values())
        for load in loads:
            load.cancel()
        await asyncio.gather(*loads, return_exceptions=True)
        for entry in self._entries.values():
            if entry.loaded:
                await entry.unload()

    def _find(self, name: str, kind: ModelKind) -> LoadableModel:
        if name not in self._entries:
            raise errors.unknown_model(name, [model.spec.name for model in self.models() if model.kind is kind])
        if self._entries[name].model.kind is not kind:
            raise errors.wrong_model_kind(name, kind.value)
        return self._entries[name]

    def _first_reranker(self) -> LoadableModel:
        for entry in self._entries.values():
            if entry.model.kind is ModelKind.RERANKER:
                return entry
        raise errors.no_reranker()

    @asynccontextmanager
    async def _in_use(self, entry: LoadableModel, seconds_left: float | None) -> AsyncIterator[Runner]:
        entry.users += 1
        try:
            if not entry.loaded and entry is not self._current:
                await self._wait_until_loaded(entry, seconds_left)
            if entry.runner is None:
                raise errors.model_not_ready()
            yield entry.runner
        finally:
            entry.users -= 1
            entry.used_at = self._clock()
            self._announce_change()

    async def _wait_until_loaded(self, entry: LoadableModel, seconds_left: float | None) -> None:
        """Load the model, or wait for the load that somebody else began. It goes on when this caller leaves."""
        name = entry.model.spec.name
        load = self._loads.get(entry)
        if load is None:
            if (pause := self._retry_at.get(entry, 0.0) - self._clock()) > 0:
                raise errors.model_failed(name, pause)
            load = self._loads[entry] = asyncio.create_task(self._load(entry))
        await asyncio.wait({load}, timeout=LOADING_SECONDS if seconds_left is None else seconds_left)
        if not load.done():
            raise errors.deadline_passed_in_loading(name)
        if load.cancelled():
            raise errors.model_stopped()
        if problem := load.result():
            raise problem

    async def _load(self, entry: LoadableModel) -> AppError | None:
        """Why the model is not loaded; None when it is."""
        try:
            await entry.describe()
            await self._make_room(entry)
            await self._load_within(entry, entry.model.memory_bytes)
        except AppError as refusal:
            await entry.refused()
            return refusal
        except Exception as error:
            log.warning("model_not_loaded", model=entry.model.spec.name, exc_info=True)
            self._retry_at[entry] = self._clock() + RETRY_SECONDS
            await entry.failed(error)
            return errors.model_failed(entry.model.spec.name, RETRY_SECONDS)
        finally:
            del self._loads[entry]
            self._announce_change()
        return None

    async def _make_room(self, entry: LoadableModel) -> None:
        """Unload idle models, and wait for busy ones to become idle, until the model fits beside the others."""
        name, needed = entry.model.spec.name, entry.model.memory_bytes
        if not needed:
            return
        if (free := self._budget_bytes - self.current.memory_bytes) < needed:
            raise errors.model_too_large(name, needed, max(0, free))
        gives_up_at = self._clock() + ROOM_SECONDS
        while self._held_bytes + needed > self._budget_bytes:
            if idle := self._idle():
                await self._unload(min(idle, key=lambda each: each.used_at))
                continue
            try:
                async with asyncio.timeout(gives_up_at - self._clock()):
                    await self._changed.wait()
            except TimeoutError:
                raise errors.models_busy(name) from None

    async def _load_within(self, entry: LoadableModel, reserved: int) -> None:
        """Load the model into memory that is taken for it beforehand, and correct that to what it really holds."""
        self._held_bytes += reserved
        try:
            await entry.load()
        except BaseException:
            self._held_bytes -= reserved
            raise
        entry.used_at = self._clock()
        self._held_bytes += entry.model.memory_bytes - reserved

    def _idle(self) -> list[LoadableModel]:
        """Loaded models that nobody uses and whose going would free memory."""
        others = (entry for entry in self._entries.values() if entry is not self._current)
        return [entry for entry in others if entry.loaded and not entry.users and entry.model.memory_bytes]

    async def _unload(self, entry: LoadableModel) -> None:
        held = entry.model.memory_bytes
        await entry.unload()
        self._held_bytes -= held
        self._announce_change()

    def _lose(self, error: EncoderFailed) -> None:
        if not self.failure.done():
            self.failure.set_exception(error)

    def _announce_change(self) -> None:
        """Wake whoever waits for room. Nobody awaits between looking and waiting, so no change is missed."""
        self._changed.set()
        self._changed = asyncio.Event()
