"""Candidates for a search and embedding models, at the embedder."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import grpc

from gateway.adapters.peers import calling
from gateway.convert import to_candidates
from gateway.domain.explanation import TermSpan
from gateway.domain.models import EmbeddingModel
from gateway.domain.query.filters import Filter
from gateway.domain.search import Candidates
from gateway.filter_messages import from_filter
from lectern.embedder.v1 import embedding_pb2, index_pb2
from lectern.embedder.v1.embedding_pb2_grpc import EmbeddingServiceStub
from lectern.embedder.v1.index_pb2_grpc import IndexServiceStub

# A passage is a few KB; this many stay far below the message limit.
PART = 200


class EmbedderIndex:
    """`gateway.domain.search.Index` and `gateway.domain.models.EmbeddingModels` over gRPC."""

    def __init__(self, channel: grpc.aio.Channel, timeout_seconds: float) -> None:
        self._index = IndexServiceStub(channel)
        self._embedding = EmbeddingServiceStub(channel)
        self._timeout = timeout_seconds

    async def search(
        self, text: str, collection_ids: Sequence[str], condition: Filter | None, *, limit: int, offset: int, explain: bool
    ) -> Candidates:
        request = index_pb2.SearchRequest(
            query=text,
            collection_ids=collection_ids,
            filter=None if condition is None else from_filter(condition),
            limit=limit,
            offset=offset,
            mode=index_pb2.SEARCH_MODE_HYBRID,
            explain=explain,
        )
        with calling("embedder"):
            return to_candidates(await self._index.Search(request, timeout=self._timeout))

    async def locate(self, texts: Sequence[tuple[str, Sequence[str]]]) -> Sequence[Sequence[TermSpan]]:
        parts = [texts[start : start + PART] for start in range(0, len(texts), PART)]
        located = await asyncio.gather(*(self._locate(part) for part in parts))
        return [spans for part in located for spans in part]

    async def _locate(self, texts: Sequence[tuple[str, Sequence[str]]]) -> Sequence[Sequence[TermSpan]]:
        request = index_pb2.LocateTermsRequest(texts=[index_pb2.TermsInText(text=text, terms=terms) for text, terms in texts])
        with calling("embedder"):
            response = await self._index.LocateTerms(request, timeout=self._timeout)
        return [[TermSpan(span.term, span.start, span.end) for span in each.spans] for each in response.texts]

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
