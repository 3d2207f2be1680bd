"""Counts tokens as a model does."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from generator import errors
from generator.domain.models import ModelRegistry
from generator.domain.prompts import token_estimate


@dataclass(frozen=True, slots=True)
class TokenCounts:
    """Tokens of each text; ``exact`` when the model's own tokenizer counted, else an upper estimate."""

    counts: Sequence[int]
    exact: bool


class TokenCounting:
    """Counts for the models it was given."""

    def __init__(self, models: ModelRegistry) -> None:
        self._models = models

    async def count(self, texts: Sequence[str], model: str) -> TokenCounts:
        """Count the tokens of each of ``texts`` for the model of that name, or the default one.

        Raises:
            AppError: there is no such model, or there are too many texts.
        """
        if len(texts) > errors.MAX_COUNTED_TEXTS:
            raise errors.too_many_texts()
        writer = self._models.named(model).writer
        if writer is None:
            return TokenCounts([token_estimate(text) for text in texts], exact=False)
        return TokenCounts(await asyncio.to_thread(writer.count_tokens, texts), writer.counts_exactly)
