"""How long a model may keep its caller waiting."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from generator import errors
from generator.domain.model_source import ModelSource
from shared.rpc.deadline import budget


@dataclass(frozen=True, slots=True)
class Waiting:
    """Bounds of waiting for a model, in seconds."""

    source: ModelSource
    first_token_seconds: float
    idle_seconds: float

    @asynccontextmanager
    async def for_text(self, *, is_first: bool) -> AsyncIterator[None]:
        """Bound what is waited for inside: the first of the model's text, or more of it. The caller's deadline bounds it too.

        Raises:
            AppError: MODEL_TIMEOUT, naming the bound that was reached.
        """
        seconds = self.first_token_seconds if is_first else self.idle_seconds
        allowed = budget(seconds)
        try:
            async with asyncio.timeout(allowed):
                yield
        except TimeoutError:
            setting = "first_token_timeout_seconds" if is_first else "idle_timeout_seconds"
            name = self.source.service_setting(setting) if allowed == seconds else "the request's deadline"
            raise errors.model_timeout(self.source, "a first token" if is_first else "more of its text", allowed, name) from None
