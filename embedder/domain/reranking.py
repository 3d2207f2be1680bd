"""A query and texts in, a score a text out: the use case behind every call that needs a cross-encoder."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence, Sized
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from embedder import errors
from embedder.domain.batcher import Batcher
from embedder.domain.batching import Lane
from embedder.domain.embedding import Call, Model, Timings, Urgency, run_call, thought_tokens
from embedder.domain.encoding import TokenIds, Vectors
from embedder.domain.engine import ModelEngines

# More than any window holds, and little enough to be repeated before each of the texts.
MAX_QUERY_CHARACTERS = 32_768


@dataclass(frozen=True, slots=True)
class TokenPair(Sized):
    """A query and a text as one sequence of tokens.

    Attributes:
        ids: the query's tokens and the text's, special tokens included.
        types: 0 for each token of the query, 1 for each of the text.
    """

    ids: TokenIds
    types: Sequence[int]

    def __len__(self) -> int:
        return len(self.ids)


class PairTokenizer(Protocol):
    """Turns a query and texts into a cross-encoder's tokens. CPU work; may be called from several threads."""

    def tokenize_pairs(self, query: str, texts: Sequence[str]) -> list[TokenPair]:
        """The query beside each text, with special tokens; what exceeds the window is cut off the longer of both."""
        ...


@dataclass(frozen=True, slots=True)
class RerankedTexts:
    """One call's outcome.

    Attributes:
        token_count: tokens that went through the model.

    Shapes:
        scores: (texts,), in the order of the texts.
    """

    scores: Vectors
    token_count: int
    timings: Timings


class TextReranker:
    """Tokenises off the event loop and scores pairs through the model's batcher: with the lanes, deadlines and shares of embedding."""

    def __init__(self, model: Model, tokenizer: PairTokenizer, batcher: Batcher, bulk_threads: Executor) -> None:
        """Put a cross-encoder to use.

        Args:
            model: what it is.
            tokenizer: its tokenizer.
            batcher: its queue; a row of its engines has one element, the logit.
            bulk_threads: where the CPU work of bulk calls runs.
        """
        self.model = model
        self._tokenizer = tokenizer
        self._batcher = batcher
        self._bulk_threads = bulk_threads

    async def run(self, engines: ModelEngines) -> None:
        """Feed ``engines`` until cancelled; as `Batcher.run`."""
        await self._batcher.run(engines)

    async def rerank(self, query: str, texts: Sequence[str], organisation_id: str, urgency: Urgency, *, raw: bool) -> RerankedTexts:
        """Score each text by how well it answers the query.

        Args:
            query: what is asked.
            texts: checked by `check_texts`.
            organisation_id: whose turn they take.
            urgency: how they queue.
            raw: logits instead of their sigmoid.

        Raises:
            AppError: EMPTY_QUERY or QUERY_TOO_LONG; as `run_call`; or what concerns the first text that could not be scored.
        """
        if not query.strip():
            raise errors.empty_query()
        if len(query) > MAX_QUERY_CHARACTERS:
            raise errors.query_too_long(len(query), MAX_QUERY_CHARACTERS)
        threads = self._bulk_threads if urgency.lane is Lane.BULK else None

        async def tokenize() -> list[TokenPair]:
            return await asyncio.get_running_loop().run_in_executor(threads, self._tokenizer.tokenize_pairs, query, texts)

        call = Call(len(texts), thought_tokens(texts) + len(texts) * thought_tokens([query]), organisation_id, urgency)
        outcome = await run_call(self._batcher, call, tokenize)
        logits = outcome.matrix()[:, 0]
        return RerankedTexts(logits if raw else sigmoid(logits), outcome.token_count, outcome.timings)


def sigmoid(logits: Vectors) -> Vectors:
    """Between 0 and 1, and nowhere an overflow.

    Shapes:
        logits: (texts,).
        returns: (texts,).
    """
    scores: Vectors = 0.5 * (1 + np.tanh(0.5 * logits))
    return scores
