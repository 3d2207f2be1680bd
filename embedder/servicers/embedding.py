"""EmbeddingService: texts in, vectors out."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

import grpc

from embedder import convert
from embedder.domain.concurrency import in_order_ahead
from embedder.domain.embedding import Urgency, check_texts
from embedder.domain.registry import ModelRegistry
from lectern.embedder.v1 import embedding_pb2, embedding_pb2_grpc
from shared.caller import current_caller
from shared.rpc.deadline import time_remaining

# Requests of one stream that are at the model at a time.
_REQUESTS_AHEAD = 3
Context = grpc.aio.ServicerContext[Any, Any]


class EmbeddingServicer(embedding_pb2_grpc.EmbeddingServiceServicer):
    def __init__(self, models: ModelRegistry) -> None:
        self._models = models

    async def EmbedTexts(self, request: embedding_pb2.EmbedTextsRequest, context: Context) -> embedding_pb2.EmbedTextsResponse:
        return await self._embed(request, wait_for_room=False)

    async def StreamEmbedTexts(
        self,
        request_iterator: AsyncIterator[embedding_pb2.StreamEmbedTextsRequest],
        context: Context,
    ) -> AsyncIterator[embedding_pb2.StreamEmbedTextsResponse]:
        async def embed(request: embedding_pb2.StreamEmbedTextsRequest) -> embedding_pb2.StreamEmbedTextsResponse:
            batch = await self._embed(request.batch, wait_for_room=True)
            return embedding_pb2.StreamEmbedTextsResponse(sequence=request.sequence, batch=batch)

        async with aclosing(in_order_ahead(request_iterator, embed, ahead=_REQUESTS_AHEAD)) as responses:
            async for response in responses:
                yield response

    async def TokenizeTexts(
        self,
        request: embedding_pb2.TokenizeTextsRequest,
        context: Context,
    ) -> embedding_pb2.TokenizeTextsResponse:
        async with self._models.embedder(request.model, time_remaining()) as embedder:
            starts = await embedder.locate_tokens(request.texts)
            return embedding_pb2.TokenizeTextsResponse(
                texts=[embedding_pb2.TokenizedText(token_starts=each.astype("<u4").tobytes()) for each in starts],
                model=embedder.model.spec.name,
            )

    async def ListModels(self, request: embedding_pb2.ListModelsRequest, context: Context) -> embedding_pb2.ListModelsResponse:
        models = [convert.model(model) for model in self._models.models()]
        return embedding_pb2.ListModelsResponse(models=models, current_model=self._models.current.spec.name)

    async def _embed(self, request: embedding_pb2.EmbedTextsRequest, *, wait_for_room: bool) -> embedding_pb2.EmbedTextsResponse:
        wanted = convert.element_type(request.element_type)
        sequences = convert.token_sequences(request)
        texts = list(request.texts)  # the message decodes a text anew whenever it is looked at
        if not sequences:
            check_texts(texts)
        async with self._models.embedder(request.model, time_remaining()) as embedder:
            embedder.check_dimensions(request.dimensions)
            urgency = Urgency(convert.lane(request.lane), time_remaining(), wait_for_room)
            organisation_id = current_caller().organisation_id
            if sequences:
                embedded = await embedder.embed_tokens(sequences, organisation_id, urgency)
            else:
                embedded = await embedder.embed(texts, convert.task(request.task), organisation_id, urgency)
            return convert.embed_response(embedded, embedder.model, wanted, dimensions=request.dimensions)
