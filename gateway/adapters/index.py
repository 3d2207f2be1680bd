"""Candidates for a search and embedding models, at the embedder."""

from __future__ import annotations

from collections.abc import Sequence

import grpc

from gateway.adapters.peers import calling
from gateway.convert import to_candidates
from gateway.domain.filters import Filter
from gateway.domain.models import EmbeddingModel
from gateway.domain.search import Candidates
from gateway.filter_messages import from_filter
from lectern.embedder.v1 import embedding_pb2, index_pb2
from lectern.embedder.v1.embedding_pb2_grpc import EmbeddingServiceStub
from lectern.embedder.v1.index_pb2_grpc import IndexServiceStub


class EmbedderIndex:
    """`gateway.domain.search.Index` and `gateway.domain.models.EmbeddingModels` over gRPC."""

    def __init__(self, channel: grpc.aio.Channel, timeout_seconds: float) -> None:
        self._index = IndexServiceStub(channel)
        self._embedding = EmbeddingServiceStub(channel)
        self._timeout = timeout_seconds

    async def search(self, text: str, collection_ids: Sequence[str], condition: Filter | None, *, limit: int, offset: int) -> Candidates:
        request = index_pb2.SearchRequest(
            query=text,
            collection_ids=collection_ids,
            filter=None if condition is None else from_filter(condition),
            limit=limit,
            offset=offset,
            mode=index_pb2.SEARCH_MODE_HYBRID,
        )
        with calling("embedder"):
            return to_candidates(await self._index.Search(request, timeout=self._timeout))

    async def embedding_models(self) -> tuple[Sequence[EmbeddingModel], str]:
        with calling("embedder"):
            response = await self._embedding.ListModels(embedding_pb2.ListModelsRequest(), timeout=self._timeout)
        embedding = [model for model in response.models if model.kind != embedding_pb2.MODEL_KIND_RERANKER]
        return [_to_model(model) for model in embedding], response.current_model


def _to_model(message: embedding_pb2.Model) -> EmbeddingModel:
    return EmbeddingModel(
        name=message.name,
        revision=message.revision,
        dimension=message.dimension,
        max_length_tokens=message.max_length_tokens,
        normalised=message.normalised,
        state=embedding_pb2.ModelState.Name(message.state).removeprefix("MODEL_STATE_"),
        device=message.device,
    )
