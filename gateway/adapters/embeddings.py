"""Vectors of texts, at the embedder."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Final

import grpc
import numpy as np

from gateway.adapters.peers import calling
from gateway.convert import to_milliseconds
from gateway.domain.embeddings import EmbeddedPart, EmbeddingRequest, EmbeddingTimings, Lane, Task
from lectern.embedder.v1 import embedding_pb2 as pb
from lectern.embedder.v1.embedding_pb2_grpc import EmbeddingServiceStub
from shared.vectors import unpack

_LANES: Final = {Lane.INTERACTIVE: pb.LANE_INTERACTIVE, Lane.BULK: pb.LANE_BULK}
_TASKS: Final = {Task.PASSAGE: pb.EMBEDDING_TASK_PASSAGE, Task.QUERY: pb.EMBEDDING_TASK_QUERY}


class RemoteEmbedder:
    """`gateway.domain.embeddings.Embedder` over gRPC."""

    def __init__(self, channel: grpc.aio.Channel, embed_seconds: float) -> None:
        self._stub = EmbeddingServiceStub(channel)
        self._seconds = embed_seconds

    async def embed(self, parts: Sequence[EmbeddingRequest], lane: Lane) -> AsyncIterator[EmbeddedPart]:
        with calling("embedder"):
            if len(parts) == 1:
                yield _to_part(await self._stub.EmbedTexts(_from_request(parts[0], lane), timeout=self._seconds))
                return
            call = self._stub.StreamEmbedTexts(_requests(parts, lane), timeout=self._seconds)
            try:
                async for response in call:
                    yield _to_part(response.batch)
            finally:
                call.cancel()


async def _requests(parts: Sequence[EmbeddingRequest], lane: Lane) -> AsyncIterator[pb.StreamEmbedTextsRequest]:
    for sequence, part in enumerate(parts):
        yield pb.StreamEmbedTextsRequest(sequence=sequence, batch=_from_request(part, lane))


def _from_request(request: EmbeddingRequest, lane: Lane) -> pb.EmbedTextsRequest:
    return pb.EmbedTextsRequest(
        model=request.model,
        texts=request.texts,
        token_sequences=[pb.TokenSequence(token_ids=tokens) for tokens in request.token_sequences],
        task=_TASKS[request.task],
        lane=_LANES[lane],
        dimensions=request.dimensions or 0,
    )


def _to_part(response: pb.EmbedTextsResponse) -> EmbeddedPart:
    timings = response.timings
    return EmbeddedPart(
        vectors=unpack(response.vectors).astype(np.float32, copy=False),
        model=response.model,
        token_count=response.token_count,
        timings=EmbeddingTimings(
            tokenize=to_milliseconds(timings.tokenize), queue=to_milliseconds(timings.queue), inference=to_milliseconds(timings.inference)
        ),
    )
