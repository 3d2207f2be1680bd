"""Builds the embedder and runs it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass

import structlog

from embedder.adapters.engines import choose_device, suitable_batch_tokens
from embedder.adapters.metrics import PrometheusObserver
from embedder.adapters.milvus.collections import MilvusCollections
from embedder.adapters.milvus.index import MilvusIndex
from embedder.adapters.model_folders import Surroundings
from embedder.adapters.remote.model import RemoteModel
from embedder.configured_models import ModelStatus, configured_models, memory_budget_bytes
from embedder.domain.analysis.analyzer import Analyzer
from embedder.domain.batcher import Batcher
from embedder.domain.batching import BatchLimits
from embedder.domain.encoding import EncoderFailed
from embedder.domain.index import VectorIndex
from embedder.domain.indexing import PassageIndexer
from embedder.domain.registry import ModelRegistry
from embedder.domain.search import PassageSearch
from embedder.domain.statistics import StatisticsCache
from embedder.servicers.embedding import EmbeddingServicer
from embedder.servicers.index import IndexServicer
from embedder.servicers.rebuild import RebuildServicer
from embedder.servicers.reranking import RerankingServicer
from embedder.settings import EmbedderSettings
from embedder.tei_server import serve_tei
from lectern.embedder.v1 import (
    embedding_pb2,
    embedding_pb2_grpc,
    index_pb2,
    index_pb2_grpc,
    rebuild_pb2,
    rebuild_pb2_grpc,
    reranking_pb2,
    reranking_pb2_grpc,
)
from shared.rpc.caller_signing import CallerSigner
from shared.rpc.health import Health
from shared.rpc.server import ServiceServer

log = structlog.get_logger()
EMBEDDING_SERVICE = embedding_pb2.DESCRIPTOR.services_by_name["EmbeddingService"].full_name
RERANKING_SERVICE = reranking_pb2.DESCRIPTOR.services_by_name["RerankingService"].full_name
INDEX_SERVICE = index_pb2.DESCRIPTOR.services_by_name["IndexService"].full_name
REBUILD_SERVICE = rebuild_pb2.DESCRIPTOR.services_by_name["RebuildService"].full_name
_INDEX_CHECK_SECONDS = 2.0
# Tokenising and analysing for streams; the tokenizer itself spreads over the cores.
_BULK_THREADS = 2


@dataclass(frozen=True, slots=True)
class RunningService:
    """The embedder while it serves.

    Attributes:
        port: where it listens.
        failure: ends with the exception that the process should stop for; never ends otherwise.
    """

    port: int
    failure: asyncio.Task[None]


@asynccontextmanager
async def serve(settings: EmbedderSettings) -> AsyncIterator[RunningService]:
    """Serve until the context is left. Entered once the model is warm; the port answers before, and health says what works.

    Raises:
        CheckpointError: the current model's folder cannot be used.
        RemoteModelError: the current model's server cannot be used.
        OpenVINOError: it was asked for, and is missing or cannot run the current model.
        SelfTestError: the current model's vectors cannot be trusted.
        OSError: the address cannot be listened on.
    """
    device = choose_device(settings.device)
    limits = BatchLimits(settings.batch_tokens or suitable_batch_tokens(device), queue_tokens=settings.queue_tokens)
    bulk_threads = ThreadPoolExecutor(_BULK_THREADS, thread_name_prefix="bulk")
    device_threads = ThreadPoolExecutor(1, thread_name_prefix="encoder-device") if device != "cpu" else None

    def open_batcher() -> Batcher:
        return Batcher(limits, PrometheusObserver(), stall_seconds=settings.stall_seconds)

    signer = CallerSigner(settings.internal_key.get_secret_value().encode())
    server = ServiceServer("embedder", signer=signer, service_names=(EMBEDDING_SERVICE, RERANKING_SERVICE, INDEX_SERVICE, REBUILD_SERVICE))
    current, others = configured_models(settings, device, Surroundings(open_batcher, bulk_threads, device_threads))
    models = ModelRegistry([current, *others], ModelStatus(server.health), budget_bytes=memory_budget_bytes(settings, device))
    embedder = await models.prepare_current()
    analyzer = await asyncio.to_thread(Analyzer)
    address = (settings.milvus_uri, settings.milvus_token.get_secret_value(), settings.index_alias, models.current.spec)
    index = MilvusIndex(*address)
    collections = MilvusCollections(*address, index)
    statistics = StatisticsCache(index)
    indexer = PassageIndexer(embedder, analyzer, index, statistics, bulk_threads)
    search = PassageSearch(embedder, analyzer, index, statistics)
    embedding_pb2_grpc.add_EmbeddingServiceServicer_to_server(EmbeddingServicer(models), server.grpc_server)
    reranking_pb2_grpc.add_RerankingServiceServicer_to_server(RerankingServicer(models), server.grpc_server)
    index_pb2_grpc.add_IndexServiceServicer_to_server(
        IndexServicer(models.current.spec, indexer, search, analyzer, index), server.grpc_server
    )
    rebuild_pb2_grpc.add_RebuildServiceServicer_to_server(RebuildServicer(collections, indexer), server.grpc_server)
    await server.start(settings.listen)
    background: list[asyncio.Task[None]] = []
    try:
        await models.load_current()
        failing = asyncio.create_task(_fail_with(models, server.health))
        background += [failing, asyncio.create_task(_follow_index(index, server.health))]
        await server.health.set_serving(True, EMBEDDING_SERVICE, RERANKING_SERVICE)  # noqa: FBT003  # the name says what is true
        checkpoint = None if isinstance(current, RemoteModel) else current.checkpoint
        async with serve_tei(settings, embedder, checkpoint, models, batch_tokens=limits.batch_tokens):
            yield RunningService(server.port, failing)
    finally:
        await server.stop()
        for task in background:
            task.cancel()
        await asyncio.gather(*background, return_exceptions=True)
        await models.close()
        await collections.close()
        await index.close()
        for threads in filter(None, (bulk_threads, device_threads)):
            threads.shutdown(wait=False, cancel_futures=True)


async def _fail_with(models: ModelRegistry, health: Health) -> None:
    """Wait until a model's device is lost, and say so before the process ends."""
    try:
        await models.failure
    except EncoderFailed:
        await health.set_serving(False)
        raise


async def _follow_index(index: VectorIndex, health: Health) -> None:
    """Keep the health of the index true to what the store answers."""
    serving: bool | None = None
    while True:
        if (now := await index.is_serving()) != serving:
            log.info("index_health_changed", serving=now)
            serving = now
            await health.set_serving(now, INDEX_SERVICE, REBUILD_SERVICE)
        await asyncio.sleep(_INDEX_CHECK_SECONDS)
