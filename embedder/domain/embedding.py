"""Texts in, vectors out: the use case behind every call that needs the model."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence, Sized
from concurrent.futures import Executor
from dataclasses import dataclass, field
from enum import Enum

import numpy as np
from numpy.typing import NDArray

from embedder import errors
from embedder.domain.batcher import Batcher, Embedded
from embedder.domain.batching import Lane
from embedder.domain.encoding import EncoderSpec, Task, TokenIds, Tokenizer, Vectors
from embedder.domain.engine import ModelEngines
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


class ModelKind(Enum):
    """What a model is asked for."""

    EMBEDDING = "embedding"
    RERANKER = "reranker"


@dataclass(slots=True)
class Model:
    """A model that the embedder runs, or could run.

    Attributes:
        spec: all but its name is empty while the model's files could not be read.
        device: ``cpu``, ``cuda:0``, ``remote``.
        memory_bytes: what it holds of its device's memory when it is loaded.
        precision: ``fp32``, ``bf16``, ``int8``; empty until it is loaded.
        failure: why it is FAILED.
    """

    spec: EncoderSpec
    device: str
    state: ModelState = ModelState.LOADING
    kind: ModelKind = ModelKind.EMBEDDING
    memory_bytes: int = 0
    precision: str = ""
    failure: str = ""


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


@dataclass(frozen=True, slots=True)
class Call:
    """Texts that one caller brings together.

    Attributes:
        texts: how many.
        tokens: what they are thought to cost.
    """

    texts: int
    tokens: int
    organisation_id: str
    urgency: Urgency


async def run_call(batcher: Batcher, call: Call, tokenize: Callable[[], Awaitable[Sequence[Sized]]]) -> EmbeddedTexts:
    """Hold room, then tokenise, then run the model. Waiting for room counts as time in the queue.

    Raises:
        AppError: EMBEDDER_BUSY, MODEL_NOT_READY, MODEL_STOPPED or DEADLINE_PASSED_IN_QUEUE. What concerns one text stands in its row.
    """
    asked = time.perf_counter()
    urgency = call.urgency
    admitted = batcher.admit(
        urgency.lane,
        call.organisation_id,
        texts=call.texts,
        tokens=call.tokens,
        seconds_left=urgency.seconds_left,
        wait_for_room=urgency.wait_for_room,
    )
    async with admitted as admission:
        began = time.perf_counter()
        tokens = await tokenize()
        tokenized = time.perf_counter()
        outcomes = await batcher.embed(admission, tokens)
    embedded = [outcome for outcome in outcomes if isinstance(outcome, Embedded)]
    timings = Timings(
        tokenize=tokenized - began,
        queue=began - asked + max((each.queue_seconds for each in embedded), default=0.0),
        inference=sum({each.batch_number: each.inference_seconds for each in embedded}.values()),
    )
    rows = [outcome.vector if isinstance(outcome, Embedded) else outcome for outcome in outcomes]
    return EmbeddedTexts(rows, sum(map(len, tokens)), timings)


def thought_tokens(texts: Sequence[str]) -> int:
    """What texts are thought to cost before they are tokenised."""
    return len(texts) + sum(map(len, texts)) // _CHARACTERS_PER_TOKEN


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

    async def run(self, engines: ModelEngines) -> None:
        """Feed ``engines`` until cancelled; as `Batcher.run`."""
        await self._batcher.run(engines)

    async def embed(self, texts: Sequence[str], task: Task, organisation_id: str, urgency: Urgency) -> EmbeddedTexts:
        """Embed texts of any length; what lies beyond the model's window is cut off.

        Raises:
            AppError: EMBEDDER_BUSY, MODEL_NOT_READY, MODEL_STOPPED or DEADLINE_PASSED_IN_QUEUE. What concerns one text stands in its row.
        """
        if not texts:
            return EmbeddedTexts([], 0)
        call = Call(len(texts), thought_tokens(texts), organisation_id, urgency)
        return await run_call(self._batcher, call, lambda: self._tokenize(texts, task, urgency.lane))

    async def embed_tokens(self, sequences: Sequence[TokenIds], organisation_id: str, urgency: Urgency) -> EmbeddedTexts:
        """Embed texts that the caller has tokenised with this model's vocabulary; they are run as they are.

        Raises:
            AppError: TEXT_COUNT_OUT_OF_RANGE, EMPTY_TOKEN_SEQUENCE, TOKEN_SEQUENCE_TOO_LONG or UNKNOWN_TOKEN_ID; and as `embed`.
        """
        check_token_sequences(sequences, window=self.model.spec.max_length_tokens, vocabulary_size=self._tokenizer.vocabulary_size)

        async def as_they_are() -> Sequence[TokenIds]:
            return sequences

        call = Call(len(sequences), sum(map(len, sequences)), organisation_id, urgency)
        return await run_call(self._batcher, call, as_they_are)

    def check_dimensions(self, dimensions: int) -> None:
        """Accept a number of elements that vectors can be cut to; 0 is all of them.

        Raises:
            AppError: DIMENSIONS_OUT_OF_RANGE.
        """
        if dimensions > self.model.spec.dimension:
            raise errors.dimensions_out_of_range(dimensions, self.model.spec.dimension)

    async def _tokenize(self, texts: Sequence[str], task: Task, lane: Lane) -> Sequence[Sized]:
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
        AppError: TOKEN_SEQUENCES_NOT_TAKEN, TEXT_COUNT_OUT_OF_RANGE, EMPTY_TOKEN_SEQUENCE, TOKEN_SEQUENCE_TOO_LONG or UNKNOWN_TOKEN_ID.
    """
    if not vocabulary_size:
        raise errors.token_sequences_not_taken()
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
