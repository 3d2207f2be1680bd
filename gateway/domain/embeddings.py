"""Texts in, vectors out, for programs that keep an index of their own."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final, Protocol, Self

import numpy as np
from numpy.typing import NDArray

MAX_INPUTS: Final = 2_048
MAX_TEXT_CHARACTERS: Final = 1_000_000
MAX_TOKENS: Final = 2**20
# Less than one batch of a model on a CPU: whoever sends no more than this waits for it, and keeps no other waiting for long.
_INTERACTIVE_CHARACTERS: Final = 4_096
# A part is a few batches: the embedder holds little of a request at a time, and messages stay far below their limit in both directions.
_PART_INPUTS: Final = 128
_PART_CHARACTERS: Final = 262_144
_CHARACTERS_A_TOKEN: Final = 4


class Task(StrEnum):
    """What the vectors are for. Models that were trained with prefixes give each its own."""

    PASSAGE = "passage"
    QUERY = "query"


class Lane(StrEnum):
    """How urgent the work is."""

    INTERACTIVE = "interactive"
    BULK = "bulk"


@dataclass(frozen=True, slots=True)
class EmbeddingRequest:
    """Inputs to embed: either texts, or sequences of the model's own token ids.

    Attributes:
        model: its name; empty for the current one.
        dimensions: how many elements of each vector to return; None for all.
    """

    texts: Sequence[str] = ()
    token_sequences: Sequence[Sequence[int]] = ()
    model: str = ""
    task: Task = Task.PASSAGE
    dimensions: int | None = None

    @property
    def lane(self) -> Lane:
        return Lane.INTERACTIVE if sum(self._sizes()) <= _INTERACTIVE_CHARACTERS else Lane.BULK

    def parts(self) -> Iterator[Self]:
        """The same request in pieces, each small enough for one message; in order."""
        begin = size = 0
        for position, more in enumerate(self._sizes()):
            if position > begin and (position - begin == _PART_INPUTS or size + more > _PART_CHARACTERS):
                yield self._part(begin, position)
                begin, size = position, 0
            size += more
        yield self._part(begin, None)

    def _part(self, begin: int, end: int | None) -> Self:
        return replace(self, texts=self.texts[begin:end], token_sequences=self.token_sequences[begin:end])

    def _sizes(self) -> list[int]:
        """Each input's size in characters, or what as many tokens usually have."""
        return [len(text) for text in self.texts] or [_CHARACTERS_A_TOKEN * len(tokens) for tokens in self.token_sequences]


@dataclass(frozen=True, slots=True)
class EmbeddingTimings:
    """Where the time at the embedder went, in milliseconds."""

    tokenize: float
    queue: float
    inference: float


@dataclass(frozen=True, slots=True)
class EmbeddedPart:
    """The embedder's answer to one part.

    Shapes:
        vectors: (inputs of the part, dimension).
    """

    vectors: NDArray[np.float32]
    model: str
    token_count: int
    timings: EmbeddingTimings


@dataclass(frozen=True, slots=True)
class Embeddings:
    """Every input's vector, in the order of the inputs, as one block a part."""

    blocks: Sequence[NDArray[np.float32]]
    model: str
    token_count: int
    timings: EmbeddingTimings


class Embedder(Protocol):
    def embed(self, parts: Sequence[EmbeddingRequest], lane: Lane) -> AsyncIterator[EmbeddedPart]:
        """Embed all parts and yield their vectors in order.

        Raises:
            AppError: one part is refused at once when the embedder is busy; several wait until there is room.
        """
        ...


async def embed(embedder: Embedder, request: EmbeddingRequest) -> Embeddings:
    """Embed a request of any size.

    Raises:
        AppError: the embedder's own; then nothing is returned, also of what was embedded before.
    """
    done = [part async for part in embedder.embed(list(request.parts()), request.lane)]
    timings = EmbeddingTimings(
        tokenize=sum(part.timings.tokenize for part in done),
        queue=max(part.timings.queue for part in done),
        inference=sum(part.timings.inference for part in done),
    )
    return Embeddings([part.vectors for part in done], done[0].model, sum(part.token_count for part in done), timings)
