"""One text at a time, cut only where the caller allows it, and a look at the model's tokens: what clients of other servers expect."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import ParamSpec, Protocol, TypeVar

import numpy as np

from embedder import errors
from embedder.domain.embedding import MAX_TEXT_BYTES, Model, TextEmbedder, Timings, Urgency
from embedder.domain.encoding import Task, TokenIds, Vectors

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")
# As short as this, tokenising takes less time than the way to another thread.
_SHORT_TEXT_CHARACTERS = 300


class Cut(Enum):
    """What happens to a text that exceeds the model's window."""

    REFUSED = "refused"
    AT_END = "at_end"
    AT_START = "at_start"


@dataclass(frozen=True, slots=True)
class Token:
    """One token of a text.

    Attributes:
        text: the piece of the text that it stands for; a special token's own name.
        span: code points at which the piece starts and stops; None for a special token.
    """

    token_id: int
    text: str
    span: tuple[int, int] | None


@dataclass(frozen=True, slots=True)
class EmbeddedText:
    """One text's vector and what it cost.

    Shapes:
        vector: (dimension,).
    """

    vector: Vectors
    token_count: int
    timings: Timings


class TokenReader(Protocol):
    """Shows what the model's tokenizer does. Every method is CPU work and may be called from several threads."""

    def ids(self, text: str, task: Task, *, window: int, keep_end: bool) -> tuple[TokenIds, int]:
        """The text's ids with special tokens and the task's prefix, cut to ``window``, and how many there were before the cut.

        Args:
            text: of any length.
            task: whose prefix is put before it.
            window: most ids.
            keep_end: cut at the start instead of the end.
        """
        ...

    def tokens(self, text: str, task: Task | None, *, special_tokens: bool) -> list[Token]:
        """The text's tokens, never cut; ``task`` None: without a prefix."""
        ...

    def text(self, ids: Sequence[int], *, skip_special_tokens: bool) -> str:
        """What ``ids`` spell; ids that the vocabulary lacks spell nothing."""
        ...


class TextInference:
    """Embeds single texts through the batcher that all callers share, and answers questions about tokens."""

    def __init__(self, embedder: TextEmbedder, tokens: TokenReader) -> None:
        self._embedder = embedder
        self._tokens = tokens

    @property
    def model(self) -> Model:
        return self._embedder.model

    async def embed(
        self, text: str, task: Task, organisation_id: str, urgency: Urgency, *, cut: Cut = Cut.REFUSED, normalise: bool = False
    ) -> EmbeddedText:
        """Embed one text.

        Raises:
            AppError: EMPTY_TEXT, TEXTS_TOO_LARGE, TEXT_TOO_LONG; and as `TextEmbedder.embed_tokens`.
        """
        if not text.strip():
            raise errors.empty_text(0)
        _check_size(text)
        started = time.perf_counter()
        window = self.model.spec.max_length_tokens
        ids, length = await _worked(len(text), self._tokens.ids, text, task, window=window, keep_end=cut is Cut.AT_START)
        if length > window and cut is Cut.REFUSED:
            raise errors.text_too_long(length, window)
        tokenized = time.perf_counter() - started
        embedded = await self._embedder.embed_tokens([ids], organisation_id, urgency)
        vector = embedded.matrix()[0]
        timings = embedded.timings
        return EmbeddedText(
            vector=vector / np.linalg.norm(vector) if normalise else vector,
            token_count=embedded.token_count,
            timings=Timings(tokenized + timings.tokenize, timings.queue, timings.inference),
        )

    async def tokenize(self, text: str, task: Task | None, *, special_tokens: bool) -> list[Token]:
        """The text's tokens.

        Raises:
            AppError: TEXTS_TOO_LARGE.
        """
        _check_size(text)
        return await _worked(len(text), self._tokens.tokens, text, task, special_tokens=special_tokens)

    async def decode(self, ids: Sequence[int], *, skip_special_tokens: bool) -> str:
        return await _worked(len(ids), self._tokens.text, ids, skip_special_tokens=skip_special_tokens)


async def _worked(size: int, work: Callable[Arguments, Result], *args: Arguments.args, **kwargs: Arguments.kwargs) -> Result:
    """The result of CPU work; on another thread unless it is short."""
    if size <= _SHORT_TEXT_CHARACTERS:
        return work(*args, **kwargs)
    return await asyncio.to_thread(work, *args, **kwargs)


def _check_size(text: str) -> None:
    if (size := len(text.encode())) > MAX_TEXT_BYTES:
        raise errors.texts_too_large(size, MAX_TEXT_BYTES)
