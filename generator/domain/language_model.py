"""The port of a language model: text in, text out in pieces. It knows nothing of passages or citations."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Protocol

from generator.domain.engine import FinishReason


@dataclass(frozen=True, slots=True)
class Prompt:
    """What a model is told: the rules, and the question with its material."""

    system: str
    user: str


@dataclass(frozen=True, slots=True)
class ModelText:
    """More of what the model writes, cut anywhere."""

    text: str


@dataclass(frozen=True, slots=True)
class ModelFinished:
    """The end of the model's text; tokens in its own counting, 0 where it doesn't say."""

    reason: FinishReason
    prompt_tokens: int = 0
    answer_tokens: int = 0


class LanguageModel(Protocol):
    """Something that continues a prompt."""

    @property
    def kind(self) -> str:
        """What runs the model, such as ``openai``."""

    def complete(self, prompt: Prompt, max_tokens: int) -> AsyncGenerator[ModelText | ModelFinished, None]:
        """Write at most ``max_tokens`` tokens: any number of texts, then exactly one `ModelFinished`.

        Closing the iterator stops the model.

        Raises:
            AppError: the model could not be reached, refused, took too long, or broke off. It never ends without a `ModelFinished`.
        """
