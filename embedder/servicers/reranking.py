"""RerankingService: a query and texts in, scores out."""

from __future__ import annotations

from typing import Any

import grpc

from embedder import convert
from embedder.domain.embedding import Urgency, check_texts
from embedder.domain.registry import ModelRegistry
from lectern.embedder.v1 import reranking_pb2, reranking_pb2_grpc
from shared.caller import current_caller
from shared.rpc.deadline import time_remaining

Context = grpc.aio.ServicerContext[Any, Any]


class RerankingServicer(reranking_pb2_grpc.RerankingServiceServicer):
    def __init__(self, models: ModelRegistry) -> None:
        self._models = models

    async def RerankTexts(self, request: reranking_pb2.RerankTextsRequest, context: Context) -> reranking_pb2.RerankTextsResponse:
        texts = list(request.texts)  # the message decodes a text anew whenever it is looked at
        check_texts(texts)
        async with self._models.reranker(request.model, time_remaining()) as reranker:
            urgency = Urgency(convert.lane(request.lane), time_remaining())
            organisation_id = current_caller().organisation_id
            reranked = await reranker.rerank(request.query, texts, organisation_id, urgency, raw=request.raw_scores)
            return convert.rerank_response(reranked, reranker.model)
