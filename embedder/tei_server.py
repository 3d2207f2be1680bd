"""Builds and runs the second server, for clients of text-embeddings-inference."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import PackageNotFoundError, version

from embedder.adapters.bearer_token import BearerToken
from embedder.adapters.transformers.checkpoint import Checkpoint
from embedder.adapters.transformers.token_reader import FastTokenReader
from embedder.domain.embedding import TextEmbedder
from embedder.domain.registry import ModelRegistry
from embedder.domain.text_inference import TextInference
from embedder.servicers.tei import SERVICE_NAMES, Capacity, EmbedServicer, InfoServicer, RerankServicer, TokenizeServicer
from embedder.settings import EmbedderSettings
from shared.caller import Caller
from shared.rpc.server import ServiceServer
from tei.v1 import tei_pb2_grpc

# TEI's clients belong to no organisation; together they get one organisation's share of the model.
_CALLER = Caller("tei", "service:tei")


@asynccontextmanager
async def serve_tei(
    settings: EmbedderSettings, embedder: TextEmbedder, checkpoint: Checkpoint | None, models: ModelRegistry, *, batch_tokens: int
) -> AsyncIterator[None]:
    """Serve on ``settings.tei_listen`` until the context is left; without an address, do nothing.

    Args:
        settings: address, token and size of the queue.
        embedder: what runs the current model; warm.
        checkpoint: the current model's files, for its tokenizer; None only where there is no address.
        models: where a reranker is found.
        batch_tokens: padded tokens in one batch.

    Raises:
        OSError: the address cannot be listened on.
    """
    if not settings.tei_listen or checkpoint is None:
        yield
        return
    inference = TextInference(embedder, await asyncio.to_thread(FastTokenReader, checkpoint))
    access = BearerToken(settings.tei_token.get_secret_value(), _CALLER)
    server = ServiceServer("embedder", signer=access, service_names=SERVICE_NAMES)
    capacity = Capacity(_version(), queue_tokens=settings.queue_tokens, batch_tokens=batch_tokens)
    tei_pb2_grpc.add_InfoServicer_to_server(InfoServicer(inference, capacity), server.grpc_server)
    tei_pb2_grpc.add_EmbedServicer_to_server(EmbedServicer(inference), server.grpc_server)
    tei_pb2_grpc.add_RerankServicer_to_server(RerankServicer(models), server.grpc_server)
    tei_pb2_grpc.add_TokenizeServicer_to_server(TokenizeServicer(inference), server.grpc_server)
    await server.start(settings.tei_listen)
    try:
        await server.health.set_serving(True)
        yield
    finally:
        await server.stop()


def _version() -> str:
    try:
        return version("lectern")
    except PackageNotFoundError:
        return "0"
