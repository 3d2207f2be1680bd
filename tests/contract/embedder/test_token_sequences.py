"""Texts that the caller has tokenised, and vectors cut to their leading elements."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import grpc
import numpy as np
import pytest

from embedder.adapters.transformers.checkpoint import read_checkpoint
from embedder.adapters.transformers.tokenizer import FastTokenizer
from embedder.domain.encoding import Task
from lectern.embedder.v1 import embedding_pb2
from shared.rpc.status import from_rpc_error
from shared.vectors import unpack

if TYPE_CHECKING:
    from lectern.embedder.v1.embedding_pb2_grpc import EmbeddingServiceAsyncStub

TEXTS = ["The invoice must be paid within thirty days of delivery.", "Rule.", "Photosynthesis lets green plants turn sunlight into sugar."]
WINDOW, VOCABULARY = 256, 30_522


def request(*sequences: list[int], **fields: Any) -> embedding_pb2.EmbedTextsRequest:
    return embedding_pb2.EmbedTextsRequest(token_sequences=[embedding_pb2.TokenSequence(token_ids=ids) for ids in sequences], **fields)


async def test_token_sequences_give_the_vectors_of_the_texts_that_they_were_made_of(embedding: EmbeddingServiceAsyncStub) -> None:
    sequences = [list(ids) for ids in FastTokenizer(read_checkpoint("minilm")).tokenize(TEXTS, Task.PASSAGE)]
    by_tokens = await embedding.EmbedTexts(request(*sequences))
    by_text = await embedding.EmbedTexts(embedding_pb2.EmbedTextsRequest(texts=TEXTS))
    assert (unpack(by_tokens.vectors) * unpack(by_text.vectors)).sum(axis=1).min() >= 0.9999
    assert by_tokens.token_count == by_text.token_count == sum(map(len, sequences))


@pytest.mark.parametrize(
    ("request_", "reason"),
    [
        (request([101, 102], texts=["x"]), "TEXTS_AND_TOKEN_SEQUENCES"),
        (request([101, 102], []), "EMPTY_TOKEN_SEQUENCE"),
        (request([101] * (WINDOW + 1)), "TOKEN_SEQUENCE_TOO_LONG"),
        (request([101, VOCABULARY, 102]), "UNKNOWN_TOKEN_ID"),
        (request([101, 2**32 - 1]), "UNKNOWN_TOKEN_ID"),
        (request(*[[101]] * 2049), "TEXT_COUNT_OUT_OF_RANGE"),
        (request([101], dimensions=385), "DIMENSIONS_OUT_OF_RANGE"),
        (embedding_pb2.EmbedTextsRequest(texts=["x"], dimensions=2**32 - 1), "DIMENSIONS_OUT_OF_RANGE"),
    ],
)
async def test_what_the_model_cannot_run_is_refused_with_its_reason(
    embedding: EmbeddingServiceAsyncStub, request_: embedding_pb2.EmbedTextsRequest, reason: str
) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await embedding.EmbedTexts(request_)
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert from_rpc_error(refused.value).reason == reason


async def test_the_last_id_of_the_vocabulary_and_a_full_window_are_embedded(embedding: EmbeddingServiceAsyncStub) -> None:
    response = await embedding.EmbedTexts(request([VOCABULARY - 1] * WINDOW))
    assert (response.vectors.count, response.token_count) == (1, WINDOW)


async def test_fewer_dimensions_are_the_leading_elements_brought_back_to_length_one(embedding: EmbeddingServiceAsyncStub) -> None:
    whole = unpack((await embedding.EmbedTexts(embedding_pb2.EmbedTextsRequest(texts=TEXTS))).vectors)
    cut = unpack((await embedding.EmbedTexts(embedding_pb2.EmbedTextsRequest(texts=TEXTS, dimensions=64))).vectors)
    leading = whole[:, :64]
    np.testing.assert_allclose(cut, leading / np.linalg.norm(leading, axis=1, keepdims=True), atol=2e-2)
    np.testing.assert_allclose(np.linalg.norm(cut, axis=1), 1, atol=1e-3)
    all_of_them = unpack((await embedding.EmbedTexts(embedding_pb2.EmbedTextsRequest(texts=TEXTS, dimensions=384))).vectors)
    assert all_of_them.shape == whole.shape
