"""Texts in, vectors out: the use case behind every call that needs the model."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import Executor
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from enum import Enum

import numpy as np
from numpy.typing import NDArray

from embedder import errors
from embedder.domain.batcher import Admission, Batcher, Embedded
from embedder.domain.batching import Lane
from embedder.domain.encoding import EncoderSpec, Task, TokenIds, Tokenizer, Vectors
from shared.errors import AppError

# A question is tokenised in 20 µs; the way to another thread and back takes seven times as long.
_SHORT_TEXT_CHARACTERS = 300
# What a token is thought to be worth before a text is tokenised. What lies beyond the window counts too: it is held in memory all the same.
_CHARACTERS_PER_TOKEN = 4
MAX_TEXTS = 2_048
MAX_TEXT_BYTES = 8 * 1024 * 1024


class ModelState(Enum):
    UNLOADED = "unloaded"
    LOADING = "loading"
    READY = "ready"
    FAILED = "failed"


@dataclass(slots=True)
class Model:
    """The model that the embedder runs, whether or not it is warm yet."""

    spec: EncoderSpec
    device: str
    state: ModelState = ModelState.LOADING


@dataclass(slots=True)
class Timings:
    """Where one call's time went, in seconds."""

    tokenize: float = 0.0
    queue: float = 0.0
    inference: float = 0.0


@dataclass(frozen=True, slots=True)
class EmbeddedTexts:
    """One call's outcome.

    Attributes:
        rows: a vector or an error for each text, in order.
        token_count: tokens that went through the model.
    """

    rows: list[Vectors | AppError]
    token_count: int
    timings: Timings = field(default_factory=Timings)

    def matrix(self) -> Vectors:
        """All vectors; every text must have one.

        Shapes:
            returns: (texts, dimension).

        Raises:
            AppError: the first text's that was refused.
        """
        for row in self.rows:
            if isinstance(row, AppError):
                raise row
        return np.stack([row for row in self.rows if not isinstance(row, AppError)])


@dataclass(frozen=True, slots=True)
class Urgency:
    """How a call's texts queue."""

    lane: Lane
    seconds_left: float | None = None
    wait_for_room: bool = False


class TextEmbedder:
    """Tokenises off the event loop and embeds through the shared batcher."""

    def __init__(self, model: Model, tokenizer: Tokenizer, batcher: Batcher, bulk_threads: Executor) -> None:
        """Put a model to use.

        Args:
            model: what it is.
            tokenizer: its tokenizer.
            batcher: its queue.
            bulk_threads: where the CPU work of bulk calls runs, so that it never fills the threads that interactive calls need.
        """
        self.model = model
        self._tokenizer = tokenizer
        self._batcher = batcher
        self._bulk_threads = bulk_threads

    def check_name(self, name: str) -> None:
        """Accept the current model's name or none.

        Raises:
            AppError: MODEL_NOT_FOUND.
        """
        if name not in ("", self.model.spec.name):
            raise errors.unknown_model(name, self.model.spec.name)

    async def embed(self, texts: Sequence[str], task: Task, organisation_id: str, urgency: Urgency) -> EmbeddedTexts:
        """Embed texts of any length; what lies beyond the model's window is cut off.

        Raises:
            AppError: EMBEDDER_BUSY, MODEL_NOT_READY, MODEL_STOPPED or DEADLINE_PASSED_IN_QUEUE. What concerns one text stands in its row.
        """
        if not texts:
            return EmbeddedTexts([], 0)
        timings = Timings()
        thought = len(texts) + sum(map(len, texts)) // _CHARACTERS_PER_TOKEN
        async with self._admitted(len(texts), thought, organisation_id, urgency, timings) as admission:
            started = time.perf_counter()
            tokens = await self._tokenize(texts, task, urgency.lane)
            timings.tokenize = time.perf_counter() - started
            return await self._run(admission, tokens, timings)

    async def embed_tokens(self, sequences: Sequence[TokenIds], organisation_id: str, urgency: Urgency) -> EmbeddedTexts:
        """Embed texts that the caller has tokenised with this model's vocabulary; they are run as they are.

        Raises:
            AppError: TEXT_COUNT_OUT_OF_RANGE, EMPTY_TOKEN_SEQUENCE, TOKEN_SEQUENCE_TOO_LONG or UNKNOWN_TOKEN_ID; and as `embed`.
        """
        check_token_sequences(sequences, window=self.model.spec.max_length_tokens, vocabulary_size=self._tokenizer.vocabulary_size)
        timings = Timings()
        async with self._admitted(len(sequences), sum(map(len, sequences)), organisation_id, urgency, timings) as admission:
            return await self._run(admission, sequences, timings)

    def check_dimensions(self, dimensions: int) -> None:
        """Accept a number of elements that vectors can be cut to; 0 is all of them.

        Raises:
            AppError: DIMENSIONS_OUT_OF_RANGE.
        """
        if dimensions > self.model.spec.dimension:
            raise errors.dimensions_out_of_range(dimensions, self.model.spec.dimension)

    @asynccontextmanager
    async def _admitted(
        self, texts: int, tokens: int, organisation_id: str, urgency: Urgency, timings: Timings
    ) -> AsyncIterator[Admission]:
        """Hold room before anything is done for the call; waiting for it counts as time in the queue."""
        asked = time.perf_counter()
        async with self._batcher.admit(
            urgency.lane,
            organisation_id,
            texts=texts,
            tokens=tokens,
            seconds_left=urgency.seconds_left,
            wait_for_room=urgency.wait_for_room,
        ) as admission:
            timings.queue = time.perf_counter() - asked
            yield admission

    async def _run(self, admission: Admission, tokens: Sequence[TokenIds], timings: Timings) -> EmbeddedTexts:
        outcomes = await self._batcher.embed(admission, tokens)
        embedded = [outcome for outcome in outcomes if isinstance(outcome, Embedded)]
        timings.queue += max((each.queue_seconds for each in embedded), default=0.0)
        timings.inference = sum({each.batch_number: each.inference_seconds for each in embedded}.values())
        rows = [outcome.vector if isinstance(outcome, Embedded) else outcome for outcome in outcomes]
        return EmbeddedTexts(rows, sum(map(len, tokens)), timings)

    async def _tokenize(self, texts: Sequence[str], task: Task, lane: Lane) -> list[TokenIds]:
        if len(texts) == 1 and len(texts[0]) <= _SHORT_TEXT_CHARACTERS:
            return self._tokenizer.tokenize(texts, task)
        threads = self._bulk_threads if lane is Lane.BULK else None
        return await asyncio.get_running_loop().run_in_executor(threads, self._tokenizer.tokenize, texts, task)

    async def locate_tokens(self, texts: Sequence[str]) -> list[NDArray[np.uint32]]:
        """Code-point offsets at which each text's tokens start.

        Raises:
            AppError: TEXTS_TOO_LARGE.
        """
        size = sum(len(text.encode()) for text in texts)
        if size > MAX_TEXT_BYTES:
            raise errors.texts_too_large(size, MAX_TEXT_BYTES)
        return await asyncio.to_thread(self._tokenizer.locate, texts)


def leading_elements(vectors: Vectors, dimensions: int, *, normalise: bool) -> Vectors:
    """The first ``dimensions`` elements of each vector; 0: all.

    Source: Kusupati et al. 2022, Matryoshka Representation Learning.

    Shapes:
        vectors: (texts, dimension).
        returns: (texts, dimensions).

    Raises:
        AppError: VECTOR_WITHOUT_LENGTH when nothing of a vector that should have length 1 is left.
    """
    if dimensions in (0, vectors.shape[1]):
        return vectors
    leading = vectors[:, :dimensions]
    if not normalise:
        return leading
    lengths = np.linalg.norm(leading, axis=1, keepdims=True)  # (texts, 1)
    if not lengths.all():
        raise errors.vector_refused("VECTOR_WITHOUT_LENGTH")
    scaled: Vectors = leading / lengths
    return scaled


def check_token_sequences(sequences: Sequence[TokenIds], *, window: int, vocabulary_size: int) -> None:
    """Refuse what the model could not run.

    Raises:
        AppError: TEXT_COUNT_OUT_OF_RANGE, EMPTY_TOKEN_SEQUENCE, TOKEN_SEQUENCE_TOO_LONG or UNKNOWN_TOKEN_ID.
    """
    if not 1 <= len(sequences) <= MAX_TEXTS:
        raise errors.text_count_out_of_range(len(sequences), MAX_TEXTS)
    for position, ids in enumerate(sequences):
        if not ids:
            raise errors.empty_token_sequence(position)
        if len(ids) > window:
            raise errors.token_sequence_too_long(position, len(ids), window)
        if (largest := max(ids)) >= vocabulary_size:
            raise errors.unknown_token_id(position, largest, vocabulary_size)


def check_texts(texts: Sequence[str]) -> None:
    """Refuse what cannot be embedded.

    Raises:
        AppError: TEXT_COUNT_OUT_OF_RANGE or EMPTY_TEXT.
    """
    if not 1 <= len(texts) <= MAX_TEXTS:
        raise errors.text_count_out_of_range(len(texts), MAX_TEXTS)
    for position, text in enumerate(texts):
        if not text.strip():
            raise errors.empty_text(position)
