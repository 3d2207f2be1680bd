"""The services of text-embeddings-inference (TEI), for its clients."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

import grpc
import numpy as np

from embedder import errors
from embedder.domain.batching import Lane
from embedder.domain.concurrency import in_order_ahead
from embedder.domain.embedding import MAX_TEXT_BYTES, MAX_TEXTS, Timings, Urgency, check_texts
from embedder.domain.encoding import Task
from embedder.domain.registry import ModelRegistry
from embedder.domain.text_inference import Cut, TextInference, Token
from shared.caller import current_caller
from shared.rpc.deadline import time_remaining
from tei.v1 import tei_pb2, tei_pb2_grpc

SERVICE_NAMES = tuple(service.full_name for service in tei_pb2.DESCRIPTOR.services_by_name.values())
Context = grpc.aio.ServicerContext[Any, Any]
# Texts of one stream that are at the model at a time: a stream brings them one by one, and they are to fill batches.
_TEXTS_AHEAD = 256
_REQUESTS_AHEAD = 8
_TASKS = {"query": Task.QUERY, "passage": Task.PASSAGE, "document": Task.PASSAGE}
_DTYPES = {"fp32": "float32", "bf16": "bfloat16", "int8": "int8"}
_CUTS = {tei_pb2.TRUNCATION_DIRECTION_RIGHT: Cut.AT_END, tei_pb2.TRUNCATION_DIRECTION_LEFT: Cut.AT_START}


@dataclass(frozen=True, slots=True)
class Capacity:
    """What `Info` tells of the server."""

    version: str
    queue_tokens: int
    batch_tokens: int


class InfoServicer(tei_pb2_grpc.InfoServicer):
    def __init__(self, inference: TextInference, capacity: Capacity) -> None:
        self._inference = inference
        self._capacity = capacity

    async def Info(self, request: tei_pb2.InfoRequest, context: Context) -> tei_pb2.InfoResponse:
        spec, capacity = self._inference.model.spec, self._capacity
        return tei_pb2.InfoResponse(
            version=capacity.version,
            model_id=spec.name,
            model_sha=spec.revision,
            model_dtype=_DTYPES.get(self._inference.model.precision, ""),
            model_type=tei_pb2.MODEL_TYPE_EMBEDDING,
            max_concurrent_requests=max(1, capacity.queue_tokens // spec.max_length_tokens),
            max_input_length=spec.max_length_tokens,
            max_batch_tokens=capacity.batch_tokens,
            max_client_batch_size=MAX_TEXTS,
        )


class EmbedServicer(tei_pb2_grpc.EmbedServicer):
    def __init__(self, inference: TextInference) -> None:
        self._inference = inference

    async def Embed(self, request: tei_pb2.EmbedRequest, context: Context) -> tei_pb2.EmbedResponse:
        return await self._embed(request, Urgency(Lane.INTERACTIVE, time_remaining()))

    async def EmbedStream(
        self, request_iterator: AsyncIterator[tei_pb2.EmbedRequest], context: Context
    ) -> AsyncIterator[tei_pb2.EmbedResponse]:
        async def embed(request: tei_pb2.EmbedRequest) -> tei_pb2.EmbedResponse:
            return await self._embed(request, Urgency(Lane.BULK, time_remaining(), wait_for_room=True))

        async with aclosing(in_order_ahead(request_iterator, embed, ahead=_TEXTS_AHEAD)) as responses:
            async for response in responses:
                yield response

    async def EmbedSparse(self, request: tei_pb2.EmbedSparseRequest, context: Context) -> tei_pb2.EmbedSparseResponse:
        raise errors.no_sparse_vectors()

    def EmbedSparseStream(
        self, request_iterator: AsyncIterator[tei_pb2.EmbedSparseRequest], context: Context
    ) -> AsyncIterator[tei_pb2.EmbedSparseResponse]:
        raise errors.no_sparse_vectors()

    async def EmbedAll(self, request: tei_pb2.EmbedAllRequest, context: Context) -> tei_pb2.EmbedAllResponse:
        raise errors.no_token_vectors()

    def EmbedAllStream(
        self, request_iterator: AsyncIterator[tei_pb2.EmbedAllRequest], context: Context
    ) -> AsyncIterator[tei_pb2.EmbedAllResponse]:
        raise errors.no_token_vectors()

    async def _embed(self, request: tei_pb2.EmbedRequest, urgency: Urgency) -> tei_pb2.EmbedResponse:
        started = time.perf_counter()
        text = request.inputs
        embedded = await self._inference.embed(
            text,
            _task(request.prompt_name) or Task.PASSAGE,
            current_caller().organisation_id,
            urgency,
            cut=_CUTS.get(request.truncation_direction, Cut.AT_END) if request.truncate else Cut.REFUSED,
            normalise=request.normalize,
        )
        metadata = _metadata(len(text), embedded.token_count, embedded.timings, time.perf_counter() - started)
        return tei_pb2.EmbedResponse(embeddings=embedded.vector.tolist(), metadata=metadata)


class RerankServicer(tei_pb2_grpc.RerankServicer):
    def __init__(self, models: ModelRegistry) -> None:
        self._models = models

    async def Rerank(self, request: tei_pb2.RerankRequest, context: Context) -> tei_pb2.RerankResponse:
        texts = list(request.texts)
        return await self._rerank(request, texts, Urgency(Lane.INTERACTIVE, time_remaining()))

    async def RerankStream(self, request_iterator: AsyncIterator[tei_pb2.RerankStreamRequest], context: Context) -> tei_pb2.RerankResponse:
        first = tei_pb2.RerankStreamRequest()
        texts: list[str] = []
        size = 0
        async for request in request_iterator:
            first = request if not texts else first
            texts.append(request.text)
            size += len(request.text.encode())
            if len(texts) > MAX_TEXTS:
                raise errors.text_count_out_of_range(len(texts), MAX_TEXTS)
            if size > MAX_TEXT_BYTES:
                raise errors.texts_too_large(size, MAX_TEXT_BYTES)
        return await self._rerank(first, texts, Urgency(Lane.BULK, time_remaining(), wait_for_room=True))

    async def _rerank(
        self, request: tei_pb2.RerankRequest | tei_pb2.RerankStreamRequest, texts: Sequence[str], urgency: Urgency
    ) -> tei_pb2.RerankResponse:
        started = time.perf_counter()
        check_texts(texts)
        organisation_id = current_caller().organisation_id
        async with self._models.reranker("", time_remaining()) as reranker:
            reranked = await reranker.rerank(request.query, texts, organisation_id, urgency, raw=request.raw_scores)
        best_first = np.argsort(-reranked.scores, kind="stable").tolist()
        characters = len(request.query) + sum(map(len, texts))
        return tei_pb2.RerankResponse(
            ranks=[
                tei_pb2.Rank(index=index, text=texts[index] if request.return_text else None, score=reranked.scores[index])
                for index in best_first
            ],
            metadata=_metadata(characters, reranked.token_count, reranked.timings, time.perf_counter() - started),
        )


class TokenizeServicer(tei_pb2_grpc.TokenizeServicer):
    def __init__(self, inference: TextInference) -> None:
        self._inference = inference

    async def Tokenize(self, request: tei_pb2.EncodeRequest, context: Context) -> tei_pb2.EncodeResponse:
        return await self._tokenize(request)

    async def TokenizeStream(
        self, request_iterator: AsyncIterator[tei_pb2.EncodeRequest], context: Context
    ) -> AsyncIterator[tei_pb2.EncodeResponse]:
        async with aclosing(in_order_ahead(request_iterator, self._tokenize, ahead=_REQUESTS_AHEAD)) as responses:
            async for response in responses:
                yield response

    async def Decode(self, request: tei_pb2.DecodeRequest, context: Context) -> tei_pb2.DecodeResponse:
        return await self._decode(request)

    async def DecodeStream(
        self, request_iterator: AsyncIterator[tei_pb2.DecodeRequest], context: Context
    ) -> AsyncIterator[tei_pb2.DecodeResponse]:
        async with aclosing(in_order_ahead(request_iterator, self._decode, ahead=_REQUESTS_AHEAD)) as responses:
            async for response in responses:
                yield response

    async def _tokenize(self, request: tei_pb2.EncodeRequest) -> tei_pb2.EncodeResponse:
        tokens = await self._inference.tokenize(request.inputs, _task(request.prompt_name), special_tokens=request.add_special_tokens)
        return tei_pb2.EncodeResponse(tokens=_tokens(tokens))

    async def _decode(self, request: tei_pb2.DecodeRequest) -> tei_pb2.DecodeResponse:
        return tei_pb2.DecodeResponse(text=await self._inference.decode(request.ids, skip_special_tokens=request.skip_special_tokens))


def _task(prompt_name: str) -> Task | None:
    if prompt_name and prompt_name not in _TASKS:
        raise errors.unknown_prompt(prompt_name, known=_TASKS)
    return _TASKS.get(prompt_name)


def _tokens(tokens: Sequence[Token]) -> list[tei_pb2.SimpleToken]:
    return [
        tei_pb2.SimpleToken(id=token.token_id, text=token.text, special=True)
        if token.span is None
        else tei_pb2.SimpleToken(id=token.token_id, text=token.text, special=False, start=token.span[0], stop=token.span[1])
        for token in tokens
    ]


def _metadata(characters: int, tokens: int, timings: Timings, seconds: float) -> tei_pb2.Metadata:
    return tei_pb2.Metadata(
        compute_chars=characters,
        compute_tokens=tokens,
        total_time_ns=round(seconds * 1e9),
        tokenization_time_ns=round(timings.tokenize * 1e9),
        queue_time_ns=round(timings.queue * 1e9),
        inference_time_ns=round(timings.inference * 1e9),
    )
