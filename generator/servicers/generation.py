"""lectern.generator.v1.GenerationService."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

import grpc

from generator.convert import (
    completion_from_message,
    completion_to_message,
    condense_from_message,
    condensed_to_message,
    event_to_message,
    model_to_message,
    request_from_message,
    title_from_message,
    title_to_message,
)
from generator.domain.answering import Answering
from generator.domain.completing import Completing
from generator.domain.condensing import Condensing
from generator.domain.models import ModelRegistry
from generator.domain.titles import Titling
from generator.domain.token_counting import TokenCounting
from lectern.generator.v1 import generation_pb2, generation_pb2_grpc

ServicerContext = grpc.aio.ServicerContext[Any, Any]


class GenerationServicer(generation_pb2_grpc.GenerationServiceServicer):
    def __init__(
        self,
        *,
        answering: Answering,
        condensing: Condensing,
        titling: Titling,
        completing: Completing,
        counting: TokenCounting,
        models: ModelRegistry,
    ) -> None:
        self._answering = answering
        self._condensing = condensing
        self._titling = titling
        self._completing = completing
        self._counting = counting
        self._models = models

    async def Answer(
        self, request: generation_pb2.AnswerRequest, context: ServicerContext
    ) -> AsyncGenerator[generation_pb2.AnswerResponse, None]:
        async with aclosing(self._answering.answer(request_from_message(request))) as events:
            async for event in events:
                yield event_to_message(event)

    async def Condense(self, request: generation_pb2.CondenseRequest, context: ServicerContext) -> generation_pb2.CondenseResponse:
        return condensed_to_message(await self._condensing.condense(condense_from_message(request)))

    async def SuggestTitle(
        self, request: generation_pb2.SuggestTitleRequest, context: ServicerContext
    ) -> generation_pb2.SuggestTitleResponse:
        return title_to_message(await self._titling.suggest(title_from_message(request)))

    async def Complete(
        self, request: generation_pb2.CompleteRequest, context: ServicerContext
    ) -> AsyncGenerator[generation_pb2.CompleteResponse, None]:
        async with aclosing(self._completing.complete(completion_from_message(request))) as events:
            async for event in events:
                yield completion_to_message(event)

    async def CountTokens(self, request: generation_pb2.CountTokensRequest, context: ServicerContext) -> generation_pb2.CountTokensResponse:
        counted = await self._counting.count(request.texts, request.model)
        return generation_pb2.CountTokensResponse(counts=counted.counts, exact=counted.exact)

    async def ListModels(self, request: generation_pb2.ListModelsRequest, context: ServicerContext) -> generation_pb2.ListModelsResponse:
        models = [model_to_message(model) for model in self._models.models.values()]
        return generation_pb2.ListModelsResponse(models=models, default_model=self._models.default)
