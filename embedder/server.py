"""Builds the embedder and runs it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass

import structlog

from embedder.adapters.engines import EngineChoice, choose_device, open_engines, suitable_batch_tokens
from embedder.adapters.metrics import PrometheusObserver
from embedder.adapters.milvus.index import MilvusIndex
from embedder.adapters.transformers.checkpoint import read_checkpoint
from embedder.adapters.transformers.tokenizer import FastTokenizer
from embedder.domain.analysis.analyzer import Analyzer
from embedder.domain.batcher import Batcher
from embedder.domain.batching import BatchLimits
from embedder.domain.embedding import Model, ModelState, TextEmbedder
from embedder.domain.encoding import EncoderFailed, Task
from embedder.domain.engine import Engines
from embedder.domain.index import VectorIndex
from embedder.domain.indexing import PassageIndexer
from embedder.domain.search import PassageSearch
from embedder.domain.statistics import StatisticsCache
from embedder.servicers.embedding import EmbeddingServicer
from embedder.servicers.index import IndexServicer
from embedder.settings import EmbedderSettings
from embedder.tei_server import serve_tei
from lectern.embedder.v1 import embedding_pb2, embedding_pb2_grpc, index_pb2, index_pb2_grpc
from shared.rpc.caller_signing import CallerSigner
from shared.rpc.health import Health
from shared.rpc.server import ServiceServer

log = structlog.get_logger()
EMBEDDING_SERVICE = embedding_pb2.DESCRIPTOR.services_by_name["EmbeddingService"].full_name
INDEX_SERVICE = index_pb2.DESCRIPTOR.services_by_name["IndexService"].full_name
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
        CheckpointError: the model's folder cannot be used.
        OpenVINOError: it was asked for, and is missing or cannot run the model.
        SelfTestError: the model's vectors cannot be trusted.
        OSError: the address cannot be listened on.
    """
    checkpoint = await asyncio.to_thread(read_checkpoint, settings.model, _prefixes(settings))
    model = Model(checkpoint.spec, choose_device(settings.device))
    analyzer = await asyncio.to_thread(Analyzer)
    tokenizer = await asyncio.to_thread(FastTokenizer, checkpoint)
    index = MilvusIndex(settings.milvus_uri, settings.milvus_token.get_secret_value(), settings.index_alias, model.spec)
    limits = BatchLimits(settings.batch_tokens or suitable_batch_tokens(model.device), queue_tokens=settings.queue_tokens)
    batcher = Batcher(limits, PrometheusObserver(), stall_seconds=settings.stall_seconds)
    bulk_threads = ThreadPoolExecutor(_BULK_THREADS, thread_name_prefix="bulk")
    embedder = TextEmbedder(model, tokenizer, batcher, bulk_threads)
    statistics = StatisticsCache(index)
    indexer = PassageIndexer(embedder, analyzer, index, statistics, bulk_threads)
    search = PassageSearch(embedder, analyzer, index, statistics)

    signer = CallerSigner(settings.internal_key.get_secret_value().encode())
    server = ServiceServer("embedder", signer=signer, service_names=(EMBEDDING_SERVICE, INDEX_SERVICE))
    embedding_pb2_grpc.add_EmbeddingServiceServicer_to_server(EmbeddingServicer(embedder), server.grpc_server)
    index_pb2_grpc.add_IndexServiceServicer_to_server(IndexServicer(model.spec, indexer, search, index), server.grpc_server)
    await server.start(settings.listen)
    background: list[asyncio.Task[None]] = []
    try:
        engines = await asyncio.to_thread(open_engines, checkpoint, tokenizer, _engine_choice(settings, model.device))
        running = asyncio.create_task(_run_model(batcher, engines, model, server.health))
        background += [running, asyncio.create_task(_follow_index(index, server.health))]
        model.state = ModelState.READY
        await server.health.set_serving(True, EMBEDDING_SERVICE)  # noqa: FBT003  # the name says what is true
        log.info("model_ready", model=model.spec.name, revision=model.spec.revision[:12], device=model.device, precision=engines.precision)
        async with serve_tei(settings, embedder, checkpoint, batch_tokens=limits.batch_tokens):
            yield RunningService(server.port, running)
    finally:
        await server.stop()
        for task in background:
            task.cancel()
        await asyncio.gather(*background, return_exceptions=True)
        await index.close()
        bulk_threads.shutdown(wait=False, cancel_futures=True)


async def _run_model(batcher: Batcher, engines: Engines, model: Model, health: Health) -> None:
    """Run the batcher; when a device is lost, say so before the process ends."""
    try:
        await batcher.run(engines)
    except EncoderFailed:
        log.exception("model_failed", model=model.spec.name)
        model.state = ModelState.FAILED
        await health.set_serving(False)
        raise


async def _follow_index(index: VectorIndex, health: Health) -> None:
    """Keep the health of the index true to what the store answers."""
    serving: bool | None = None
    while True:
        if (now := await index.is_serving()) != serving:
            log.info("index_health_changed", serving=now)
            serving = now
            await health.set_serving(now, INDEX_SERVICE)
        await asyncio.sleep(_INDEX_CHECK_SECONDS)


def _engine_choice(settings: EmbedderSettings, device: str) -> EngineChoice:
    return EngineChoice(
        engine=settings.engine,
        device=device,
        precision=settings.precision,
        threads=settings.threads,
        cache_folder=settings.cache_folder,
    )


def _prefixes(settings: EmbedderSettings) -> dict[Task, str]:
    chosen = {Task.QUERY: settings.query_prefix, Task.PASSAGE: settings.passage_prefix}
    return {task: prefix for task, prefix in chosen.items() if prefix is not None}
