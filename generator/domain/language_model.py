"""The port of a language model: text in, text out in pieces. It knows nothing of passages or citations."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol


class Role(StrEnum):
    """Who writes in a conversation."""

    SYSTEM = "system"
    USER = "user"
    ASSISTANT = "assistant"


@dataclass(frozen=True, slots=True)
class Message:
    """One message of what a model is told."""

    role: Role
    text: str


@dataclass(frozen=True, slots=True)
class ModelText:
    """More of what the model writes, cut anywhere."""

    text: str


class FinishReason(StrEnum):
    """Why a text ended."""

    STOP = "stop"
    LENGTH = "length"


@dataclass(frozen=True, slots=True)
class ModelFinished:
    """The end of the model's text; tokens in its own counting, 0 where it doesn't say."""

    reason: FinishReason
    prompt_tokens: int = 0
    answer_tokens: int = 0


class LanguageModel(Protocol):
    """Something that continues a conversation."""

    @property
    def kind(self) -> str:
        """What runs the model, such as ``openai``."""

    @property
    def counts_exactly(self) -> bool:
        """Whether `count_tokens` is the model's own counting."""

    def count_tokens(self, texts: Sequence[str]) -> Sequence[int]:
        """Tokens of each text: in the model's own counting, or an upper estimate where it is out of reach.

        Blocking: about a millisecond for a thousand words.
        """

    def complete(
        self, messages: Sequence[Message], max_tokens: int, *, json_schema: str = ""
    ) -> AsyncGenerator[ModelText | ModelFinished, None]:
        """Write at most ``max_tokens`` tokens after ``messages``: any number of texts, then exactly one `ModelFinished`.

        With ``json_schema`` the model is held to it as far as what runs it can; who needs it to be true checks the text.
        Closing the iterator stops the model and frees its place.

        Raises:
            AppError: the model could not be reached, refused, took too long, or broke off. It never ends without a `ModelFinished`.
        """

    async def check(self) -> None:
        """Have the model write one token.

        Raises:
            AppError: it can't.
        """


async def write_one_token(model: LanguageModel) -> None:
    """What `LanguageModel.check` is where a model has no better way to show that it works. Raises AppError: it can't."""
    async with aclosing(model.complete([Message(Role.USER, "Say yes.")], 1)) as pieces:
        async for _ in pieces:
            pass
