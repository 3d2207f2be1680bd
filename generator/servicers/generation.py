"""lectern.generator.v1.GenerationService."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

import grpc

from generator.convert import event_to_message, request_from_message
from generator.domain.answering import Answering
from lectern.generator.v1 import generation_pb2, generation_pb2_grpc

ServicerContext = grpc.aio.ServicerContext[Any, Any]


class GenerationServicer(generation_pb2_grpc.GenerationServiceServicer):
    def __init__(self, answering: Answering) -> None:
        self._answering = answering

    async def Answer(
        self, request: generation_pb2.AnswerRequest, context: ServicerContext
    ) -> AsyncGenerator[generation_pb2.AnswerResponse, None]:
        async with aclosing(self._answering.answer(request_from_message(request))) as events:
            async for event in events:
                yield event_to_message(event)

    async def Condense(self, request: generation_pb2.CondenseRequest, context: ServicerContext) -> generation_pb2.CondenseResponse:
        return await context.abort(grpc.StatusCode.UNIMPLEMENTED)

    async def SuggestTitle(
        self, request: generation_pb2.SuggestTitleRequest, context: ServicerContext
    ) -> generation_pb2.SuggestTitleResponse:
        return await context.abort(grpc.StatusCode.UNIMPLEMENTED)

    async def Complete(
        self, request: generation_pb2.CompleteRequest, context: ServicerContext
    ) -> AsyncGenerator[generation_pb2.CompleteResponse, None]:
        yield await context.abort(grpc.StatusCode.UNIMPLEMENTED)

    async def CountTokens(self, request: generation_pb2.CountTokensRequest, context: ServicerContext) -> generation_pb2.CountTokensResponse:
        return await context.abort(grpc.StatusCode.UNIMPLEMENTED)

    async def ListModels(self, request: generation_pb2.ListModelsRequest, context: ServicerContext) -> generation_pb2.ListModelsResponse:
        models = [generation_pb2.Model(name=name, engine=engine.kind) for name, engine in self._answering.engines.items()]
        return generation_pb2.ListModelsResponse(models=models, default_model=self._answering.default_model)
