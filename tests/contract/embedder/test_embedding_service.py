from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

import grpc
import numpy as np
import pytest

from lectern.embedder.v1 import embedding_pb2, vectors_pb2
from shared.errors import AppError
from shared.rpc.status import from_rpc_error
from shared.vectors import unpack

if TYPE_CHECKING:
    from lectern.embedder.v1.embedding_pb2_grpc import EmbeddingServiceAsyncStub

INVOICE = "The invoice must be paid within thirty days of delivery."
PARAPHRASE = "Payment of the bill is due one month after the goods arrive."
PLANTS = "Photosynthesis lets green plants turn sunlight into sugar."


async def refusal(call: grpc.aio.UnaryUnaryCall[Any, Any]) -> AppError:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await call
    return from_rpc_error(refused.value)


async def test_texts_become_vectors_of_length_one_that_tell_meaning(embedding: EmbeddingServiceAsyncStub) -> None:
    response = await embedding.EmbedTexts(embedding_pb2.EmbedTextsRequest(texts=[INVOICE, PLANTS, PARAPHRASE]))
    vectors = unpack(response.vectors)
    assert vectors.shape == (3, 384)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-3)
    assert vectors[0] @ vectors[2] > 0.5 > vectors[0] @ vectors[1]
    assert (response.model, len(response.revision)) == ("minilm", 64)
    assert response.token_count > 30
    assert response.timings.inference.ToNanoseconds() > 0


async def test_a_text_has_the_same_vector_alone_and_in_company(embedding: EmbeddingServiceAsyncStub) -> None:
    together = unpack((await embedding.EmbedTexts(embedding_pb2.EmbedTextsRequest(texts=[PLANTS * 9, INVOICE, "x"]))).vectors)
    alone = unpack((await embedding.EmbedTexts(embedding_pb2.EmbedTextsRequest(texts=[INVOICE]))).vectors)
    assert together[1] @ alone[0] >= 0.9999


async def test_vectors_come_as_halves_when_asked_for(embedding: EmbeddingServiceAsyncStub) -> None:
    request = embedding_pb2.EmbedTextsRequest(texts=[INVOICE], element_type=vectors_pb2.ELEMENT_TYPE_FLOAT16)
    packed = (await embedding.EmbedTexts(request)).vectors
    assert (packed.element_type, len(packed.data)) == (vectors_pb2.ELEMENT_TYPE_FLOAT16, 768)


@pytest.mark.parametrize(
    ("request_", "reason"),
    [
        (embedding_pb2.EmbedTextsRequest(), "TEXT_COUNT_OUT_OF_RANGE"),
        (embedding_pb2.EmbedTextsRequest(texts=["x"] * 2049), "TEXT_COUNT_OUT_OF_RANGE"),
        (embedding_pb2.EmbedTextsRequest(texts=["x", " \n"]), "EMPTY_TEXT"),
        (embedding_pb2.EmbedTextsRequest(texts=["x"], model="other"), "MODEL_NOT_FOUND"),
        (embedding_pb2.EmbedTextsRequest(texts=["x"], element_type=9), "UNKNOWN_ELEMENT_TYPE"),  # type: ignore[arg-type]
    ],
)
async def test_what_cannot_be_embedded_is_refused_with_its_reason(
    embedding: EmbeddingServiceAsyncStub, request_: embedding_pb2.EmbedTextsRequest, reason: str
) -> None:
    assert (await refusal(embedding.EmbedTexts(request_))).reason == reason


async def test_more_texts_than_can_wait_are_refused_with_a_time_to_come_back(embedding: EmbeddingServiceAsyncStub) -> None:
    request = embedding_pb2.EmbedTextsRequest(texts=[PLANTS * 20] * 80, lane=embedding_pb2.LANE_BULK)
    outcomes = await asyncio.gather(*(embedding.EmbedTexts(request) for _ in range(6)), return_exceptions=True)
    refused = [from_rpc_error(outcome) for outcome in outcomes if isinstance(outcome, grpc.aio.AioRpcError)]
    assert {error.reason for error in refused} == {"EMBEDDER_BUSY"}
    assert all(error.retry_after_seconds is not None and error.retry_after_seconds > 0 for error in refused)
    assert any(isinstance(outcome, embedding_pb2.EmbedTextsResponse) for outcome in outcomes)


async def test_a_query_overtakes_bulk_work(embedding: EmbeddingServiceAsyncStub) -> None:
    bulk = asyncio.ensure_future(
        embedding.EmbedTexts(embedding_pb2.EmbedTextsRequest(texts=[PLANTS * 20] * 60, lane=embedding_pb2.LANE_BULK))
    )
    response = await embedding.EmbedTexts(embedding_pb2.EmbedTextsRequest(texts=[INVOICE], task=embedding_pb2.EMBEDDING_TASK_QUERY))
    assert unpack(response.vectors).shape == (1, 384)
    assert not bulk.done()
    await bulk


async def test_a_call_whose_deadline_passes_in_the_queue_says_so(embedding: EmbeddingServiceAsyncStub) -> None:
    request = embedding_pb2.EmbedTextsRequest(texts=[PLANTS * 20] * 60, lane=embedding_pb2.LANE_BULK)
    with pytest.raises(grpc.aio.AioRpcError) as late:
        await embedding.EmbedTexts(request, timeout=0.2)
    assert late.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert unpack((await embedding.EmbedTexts(embedding_pb2.EmbedTextsRequest(texts=["x"]))).vectors).shape == (1, 384)


async def test_a_stream_answers_each_request_in_order_even_when_it_sends_more_than_can_wait(
    embedding: EmbeddingServiceAsyncStub,
) -> None:
    async def requests() -> AsyncIterator[embedding_pb2.StreamEmbedTextsRequest]:
        for sequence in range(8):
            texts = [f"{sequence} {PLANTS * 15}"] * 20
            batch = embedding_pb2.EmbedTextsRequest(texts=texts, lane=embedding_pb2.LANE_BULK)
            yield embedding_pb2.StreamEmbedTextsRequest(sequence=100 + sequence, batch=batch)

    responses = [response async for response in embedding.StreamEmbedTexts(requests(), timeout=110)]
    assert [response.sequence for response in responses] == [100 + sequence for sequence in range(8)]
    assert all(response.batch.vectors.count == 20 for response in responses)


async def test_a_stream_tells_of_each_request_where_its_time_went(embedding: EmbeddingServiceAsyncStub) -> None:
    """One organisation may queue 10,000 tokens here and each request has 7,000: later ones wait for room, which counts as queueing."""

    async def requests() -> AsyncIterator[embedding_pb2.StreamEmbedTextsRequest]:
        for sequence in range(4):
            batch = embedding_pb2.EmbedTextsRequest(texts=[f"{sequence} {PLANTS * 15}"] * 40, lane=embedding_pb2.LANE_BULK)
            yield embedding_pb2.StreamEmbedTextsRequest(sequence=sequence, batch=batch)

    began = time.perf_counter()
    timings, elapsed = [], []
    async for response in embedding.StreamEmbedTexts(requests(), timeout=110):
        timings.append(response.batch.timings)
        elapsed.append(time.perf_counter() - began)
    for each, seconds in zip(timings, elapsed, strict=True):
        assert min(each.tokenize.ToNanoseconds(), each.queue.ToNanoseconds(), each.inference.ToNanoseconds()) > 0
        assert (each.tokenize.ToNanoseconds() + each.queue.ToNanoseconds()) / 1e9 < seconds
    assert timings[2].queue.ToNanoseconds() / 1e9 > elapsed[0] / 2


async def test_a_stream_with_a_bad_request_gives_what_came_before_and_then_the_reason(embedding: EmbeddingServiceAsyncStub) -> None:
    async def requests() -> AsyncIterator[embedding_pb2.StreamEmbedTextsRequest]:
        yield embedding_pb2.StreamEmbedTextsRequest(sequence=1, batch=embedding_pb2.EmbedTextsRequest(texts=["x"]))
        yield embedding_pb2.StreamEmbedTextsRequest(sequence=2, batch=embedding_pb2.EmbedTextsRequest(texts=[""]))

    received = []
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        async for response in embedding.StreamEmbedTexts(requests()):
            received.append(response.sequence)  # noqa: PERF401  # what came before the error is the point
    assert received == [1]
    assert from_rpc_error(refused.value).reason == "EMPTY_TEXT"


async def test_tokens_are_located_in_code_points_and_never_cut_off(embedding: EmbeddingServiceAsyncStub) -> None:
    unit = "☕ Wörter, "
    text = unit * 200_000
    response = await embedding.TokenizeTexts(embedding_pb2.TokenizeTextsRequest(texts=["☕ one two", text]), timeout=110)
    short, long = (np.frombuffer(each.token_starts, dtype="<u4") for each in response.texts)
    assert [int(start) for start in short] == [0, 2, 6]
    assert len(long) >= 3 * 200_000
    assert set(range(0, len(text), len(unit))) <= set(long.tolist())
    assert response.model == "minilm"


async def test_texts_too_large_to_tokenise_at_once_are_refused(embedding: EmbeddingServiceAsyncStub) -> None:
    request = embedding_pb2.TokenizeTextsRequest(texts=["word " * 1_000_000, "word " * 1_000_000])
    assert (await refusal(embedding.TokenizeTexts(request))).reason == "TEXTS_TOO_LARGE"


async def test_the_model_is_listed_as_it_is(embedding: EmbeddingServiceAsyncStub) -> None:
    response = await embedding.ListModels(embedding_pb2.ListModelsRequest())
    (model,) = response.models
    assert response.current_model == model.name == "minilm"
    assert (model.dimension, model.max_length_tokens, model.normalised) == (384, 256, True)
    assert (model.state, model.device) == (embedding_pb2.MODEL_STATE_READY, "cpu")
