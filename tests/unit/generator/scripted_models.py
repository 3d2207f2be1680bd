"""Models that say what a test wrote down for them, and registries that hold them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field

from generator.domain.extractive import ExtractiveEngine
from generator.domain.language_model import FinishReason, Message, ModelFinished, ModelText
from generator.domain.models import Endpoint, Model, ModelRegistry
from shared.errors import AppError


class NoEndpoints:
    """Opens nothing."""

    def open(self, endpoint: Endpoint) -> AbstractAsyncContextManager[Model]:
        raise AssertionError(f"no request of these tests brings an endpoint: {endpoint}")


@dataclass
class ScriptedModel:
    """Says ``texts``, then ends as told; counts a token for each word."""

    texts: Sequence[str] = ()
    failure: AppError | None = None
    hangs: bool = False
    told: list[Sequence[Message]] = field(default_factory=list)
    kind: str = "scripted"
    counts_exactly: bool = True

    def count_tokens(self, texts: Sequence[str]) -> Sequence[int]:
        return [len(text.split()) for text in texts]

    async def complete(
        self, messages: Sequence[Message], max_tokens: int, *, json_schema: str = ""
    ) -> AsyncGenerator[ModelText | ModelFinished, None]:
        self.told.append(messages)
        for text in self.texts:
            yield ModelText(text)
        if self.hangs:
            await asyncio.Event().wait()
        if self.failure:
            raise self.failure
        yield ModelFinished(FinishReason.STOP, 31, 7)

    async def check(self) -> None:
        """It always can."""


def registry(*models: Model) -> ModelRegistry:
    """A registry whose default is the first of ``models``."""
    return ModelRegistry({model.name: model for model in models}, default=models[0].name, endpoints=NoEndpoints())


def writing(writer: ScriptedModel) -> ModelRegistry:
    """A registry of one model that writes with ``writer``."""
    return registry(Model("scripted", ExtractiveEngine(), writer))
