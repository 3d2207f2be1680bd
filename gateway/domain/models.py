"""Models that the services offer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class EmbeddingModel:
    name: str
    revision: str
    dimension: int
    max_length_tokens: int
    normalised: bool
    state: str
    device: str


@dataclass(frozen=True, slots=True)
class LanguageModel:
    name: str
    engine: str


class EmbeddingModels(Protocol):
    async def embedding_models(self) -> tuple[Sequence[EmbeddingModel], str]:
        """Every configured model, and the name of the one in use."""
        ...


class LanguageModels(Protocol):
    async def language_models(self) -> tuple[Sequence[LanguageModel], str]:
        """Every configured model, and the name of the default one."""
        ...
