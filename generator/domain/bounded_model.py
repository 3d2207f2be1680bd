"""A language model that writes no more than so many texts at once, in pieces as large as its reader is busy, and is watched doing so."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from typing import Protocol

from generator import errors
from generator.domain.joining import joined
from generator.domain.language_model import LanguageModel, Message, ModelFinished, ModelText
from generator.domain.model_source import ModelSource
from shared.errors import AppError

# Streams last seconds: by then one of those in flight has ended.
_RETRY_AFTER_SECONDS = 2.0


class ModelObserver(Protocol):
    """Is told how one model writes."""

    def started(self) -> None:
        """The model was asked for a text."""

    def began(self, seconds: float) -> None:
        """Its first text came after ``seconds``."""

    def ended(self, outcome: str, prompt_tokens: int, answer_tokens: int) -> None:
        """It ended: ``finished``, ``abandoned``, or the reason of its error; tokens as far as they are known."""


class BoundedModel:
    """Another model, which refuses at once what is more than it may do at once."""

    def __init__(
        self,
        model: LanguageModel,
        source: ModelSource,
        *,
        max_concurrent: int,
        observer: ModelObserver,
        now: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._model = model
        self._source = source
        self._max_concurrent = max_concurrent
        self._observer = observer
        self._now = now
        self._in_flight = 0

    @property
    def kind(self) -> str:
        return self._model.kind

    @property
    def counts_exactly(self) -> bool:
        return self._model.counts_exactly

    def count_tokens(self, texts: Sequence[str]) -> Sequence[int]:
        return self._model.count_tokens(texts)

    async def check(self) -> None:
        """As the port's; not counted, for it must be possible while callers fill the model."""
        await self._model.check()

    async def complete(
        self, messages: Sequence[Message], max_tokens: int, *, json_schema: str = ""
    ) -> AsyncGenerator[ModelText | ModelFinished, None]:
        """As the port's.

        Raises:
            AppError: MODEL_BUSY, before the model heard of it.
        """
        if self._in_flight >= self._max_concurrent:
            raise errors.model_busy(self._source, retry_after_seconds=_RETRY_AFTER_SECONDS)
        self._in_flight += 1
        self._observer.started()
        started, began, outcome, tokens = self._now(), False, "abandoned", (0, 0)
        try:
            async with aclosing(joined(self._model.complete(messages, max_tokens, json_schema=json_schema))) as pieces:
                async for piece in pieces:
                    if not began:
                        began = True
                        self._observer.began(self._now() - started)
                    if isinstance(piece, ModelFinished):
                        outcome, tokens = "finished", (piece.prompt_tokens, piece.answer_tokens)
                    yield piece
        except AppError as error:
            outcome = error.reason
            raise
        finally:
            self._in_flight -= 1
            self._observer.ended(outcome, *tokens)
