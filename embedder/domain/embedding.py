"""Texts in, vectors out: the use case behind every call that needs the model."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field
from enum import Enum

import numpy as np
from numpy.typing import NDArray

from embedder import errors
from embedder.domain.batcher import Batcher, Embedded
from embedder.domain.batching import Lane
from embedder.domain.encoding import EncoderSpec, Task, TokenIds, Tokenizer, Vectors
from shared.errors import AppError

# A question is tokenised in 20 µs; the way to another thread and back takes seven times as long.
_SHORT_TEXT_CHARACTERS = 300
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
            AppError: EMBEDDER_BUSY, MODEL_NOT_READY or MODEL_STOPPED. What concerns one text stands in its row.
        """
        if not texts:
            return EmbeddedTexts([], 0)
        started = time.perf_counter()
        tokens = await self._tokenize(texts, task, urgency.lane)
        tokenized = time.perf_counter()
        outcomes = await self._batcher.submit(
            tokens,
            lane=urgency.lane,
            organisation_id=organisation_id,
            seconds_left=urgency.seconds_left,
            wait_for_room=urgency.wait_for_room,
        )
        embedded = [outcome for outcome in outcomes if isinstance(outcome, Embedded)]
        timings = Timings(
            tokenize=tokenized - started,
            queue=max((each.queue_seconds for each in embedded), default=0.0),
            inference=sum({each.batch_number: each.inference_seconds for each in embedded}.values()),
        )
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
