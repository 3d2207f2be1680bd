"""The generator as the gateway sees it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

import grpc

from lectern.generator.v1 import generation_pb2 as pb
from lectern.generator.v1 import generation_pb2_grpc

if TYPE_CHECKING:
    from tests.contract.gateway.back_services import World


class Generation(generation_pb2_grpc.GenerationServiceServicer):
    def __init__(self, world: World) -> None:
        self.world = world

    async def Answer(self, request: pb.AnswerRequest, context: Any) -> AsyncIterator[Any]:
        await self.world.called("Answer", request)
        for number, event in enumerate(self.world.answer):
            if number == self.world.cut_after.get("Answer"):
                await context.abort(grpc.StatusCode.UNAVAILABLE, "connection reset by a very private host name")
            yield event
            await self.world.pause("Answer")

    async def Condense(self, request: pb.CondenseRequest, context: Any) -> Any:
        await self.world.called("Condense", request)
        return pb.CondenseResponse(question=f"{request.history[0].text} {request.question}")

    async def SuggestTitle(self, request: pb.SuggestTitleRequest, context: Any) -> Any:
        await self.world.called("SuggestTitle", request)
        await self.world.pause("SuggestTitle")
        return pb.SuggestTitleResponse(title=f"About: {request.question}")

    async def ListModels(self, request: pb.ListModelsRequest, context: Any) -> Any:
        models = [pb.Model(name="extractive", engine="extractive")]
        return pb.ListModelsResponse(models=models, default_model="extractive")
