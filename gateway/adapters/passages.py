"""Passages, at the ingestor."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import grpc

from gateway.adapters.peers import calling
from gateway.convert import to_passage
from gateway.domain.passages import Passage, PassageInContext
from lectern.ingestor.v1 import passages_pb2 as pb
from lectern.ingestor.v1.passages_pb2_grpc import PassageServiceStub

# A passage is a few KB with its metadata; this many stay far below the message limit.
PART = 200


class IngestorPassages:
    """`gateway.domain.passages.Passages` and `gateway.domain.search.Library` over gRPC."""

    def __init__(self, channel: grpc.aio.Channel, timeout_seconds: float) -> None:
        self._stub = PassageServiceStub(channel)
        self._timeout = timeout_seconds

    async def get(self, passage_id: str, *, before: int, after: int) -> PassageInContext:
        request = pb.GetPassageRequest(passage_id=passage_id, before_count=before, after_count=after)
        with calling("ingestor"):
            response = await self._stub.GetPassage(request, timeout=self._timeout)
        return PassageInContext(
            to_passage(response.passage),
            [to_passage(message) for message in response.before],
            [to_passage(message) for message in response.after],
        )

    async def get_visible(self, passage_ids: Sequence[str]) -> Sequence[Passage]:
        parts = [passage_ids[start : start + PART] for start in range(0, len(passage_ids), PART)]
        got = await asyncio.gather(*(self._part(part) for part in parts))
        return [passage for part in got for passage in part]

    async def _part(self, passage_ids: Sequence[str]) -> Sequence[Passage]:
        request = pb.BatchGetPassagesRequest(passage_ids=passage_ids)
        with calling("ingestor"):
            response = await self._stub.BatchGetPassages(request, timeout=self._timeout)
        return [to_passage(message) for message in response.passages]
