"""PassageService."""

from __future__ import annotations

from typing import Any

import grpc

from ingestor.convert import to_passage
from ingestor.domain.passages import Passages
from lectern.ingestor.v1 import passages_pb2, passages_pb2_grpc
from shared.caller import current_caller
from shared.errors import not_found

Context = grpc.aio.ServicerContext[Any, Any]


class PassageServicer(passages_pb2_grpc.PassageServiceServicer):
    def __init__(self, passages: Passages) -> None:
        self._passages = passages

    async def GetPassage(self, request: passages_pb2.GetPassageRequest, context: Context) -> passages_pb2.GetPassageResponse:
        found = await self._passages.around(
            current_caller().organisation_id, request.passage_id, before=request.before_count, after=request.after_count
        )
        positions = [position for position, passage in enumerate(found) if passage.passage_id == request.passage_id]
        if not positions:
            raise not_found("passage", request.passage_id)
        middle = positions[0]
        return passages_pb2.GetPassageResponse(
            passage=to_passage(found[middle]), before=map(to_passage, found[:middle]), after=map(to_passage, found[middle + 1 :])
        )

    async def BatchGetPassages(
        self, request: passages_pb2.BatchGetPassagesRequest, context: Context
    ) -> passages_pb2.BatchGetPassagesResponse:
        found = await self._passages.visible(current_caller().organisation_id, request.passage_ids)
        return passages_pb2.BatchGetPassagesResponse(passages=map(to_passage, found))
