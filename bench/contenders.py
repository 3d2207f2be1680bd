"""Our own contenders: the engine in this process, and the service over gRPC."""

from __future__ import annotations

import asyncio
import os
import secrets
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.request import urlopen

import numpy as np
import psutil

from bench.measuring import Vectors
from bench.ports import free_port
from embedder.adapters.engines import EngineChoice, Precision, open_engines, suitable_batch_tokens
from embedder.adapters.transformers.checkpoint import read_checkpoint
from embedder.adapters.transformers.tokenizer import FastTokenizer
from embedder.domain.batcher import Batcher
from embedder.domain.batching import BatchLimits, DropReason, Lane
from embedder.domain.embedding import Model, TextEmbedder, Urgency
from embedder.domain.encoding import Task
from lectern.embedder.v1 import embedding_pb2, vectors_pb2
from lectern.embedder.v1.embedding_pb2_grpc import EmbeddingServiceStub
from shared import vectors as wire
from shared.caller import Caller
from shared.rpc.caller_signing import CallerSigner
from shared.rpc.channel import acting_for, open_channel
from shared.rpc.probe import is_serving

if TYPE_CHECKING:
    from lectern.embedder.v1.embedding_pb2_grpc import EmbeddingServiceAsyncStub

CLIENTS = 32
TEXTS_PER_REQUEST = 16
_SERVICE_NAME = embedding_pb2.DESCRIPTOR.services_by_name["EmbeddingService"].full_name
_START_SECONDS = 120.0


class PaddingObserver:
    """Adds up what batches were padded to."""

    def __init__(self) -> None:
        self.tokens = 0
        self.padded_tokens = 0

    def dropped(self, lane: Lane, reason: DropReason, texts: int = 1) -> None: ...

    def queued(self, lane: Lane, tokens: int) -> None: ...

    def waited(self, lane: Lane, seconds: float) -> None: ...

    def batch_encoded(self, *, tokens: int, padded_tokens: int, **_: float) -> None:
        self.tokens += tokens
        self.padded_tokens += padded_tokens


class InProcess:
    """Our tokenizer, batcher and engine, called from this process."""

    def __init__(self, name: str, embedder: TextEmbedder, padding: PaddingObserver) -> None:
        self.name = name
        self.padding = padding
        self._embedder = embedder

    @classmethod
    @asynccontextmanager
    async def running(cls, model: str, *, precision: Precision) -> AsyncIterator[InProcess]:
        checkpoint = read_checkpoint(model)
        tokenizer = FastTokenizer(checkpoint)
        choice = EngineChoice("auto", "cpu", precision, threads=0, cache_folder=Path("~/.cache/lectern/embedder"))
        engines = await asyncio.to_thread(open_engines, checkpoint, tokenizer, choice)
        padding = PaddingObserver()
        batcher = Batcher(BatchLimits(suitable_batch_tokens("cpu")), padding)
        running = asyncio.create_task(batcher.run(engines))
        bulk_threads = ThreadPoolExecutor(2)
        try:
            embedder = TextEmbedder(Model(checkpoint.spec, "cpu"), tokenizer, batcher, bulk_threads)
            yield cls(f"Lectern's engine, {engines.precision}", embedder, padding)
        finally:
            bulk_threads.shutdown(wait=False, cancel_futures=True)
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)

    async def embed(self, texts: Sequence[str]) -> Vectors:
        async def one_request(part: Sequence[str]) -> Vectors:
            return (await self._embedder.embed(part, Task.PASSAGE, "bench", Urgency(Lane.BULK))).matrix()

        return await by_clients(texts, one_request)

    async def embed_query(self, text: str) -> None:
        (await self._embedder.embed([text], Task.QUERY, "bench", Urgency(Lane.INTERACTIVE))).matrix()

    def cpu_seconds(self) -> float:
        return time.process_time()


class Service:
    """`python -m embedder` in its own process, called through gRPC."""

    def __init__(self, name: str, stub: EmbeddingServiceAsyncStub, process: psutil.Process, metrics_port: int) -> None:
        self.name = name
        self._metrics = f"http://127.0.0.1:{metrics_port}/metrics"
        self.stub = stub
        self._process = process

    @classmethod
    @asynccontextmanager
    async def running(cls, model: str, *, precision: str = "auto", **changes: str) -> AsyncIterator[Service]:
        """Start it, with further settings by their names without the prefix."""
        key, port, metrics_port = secrets.token_hex(32), free_port(), free_port()
        settings = {
            "LECTERN_INTERNAL_KEY": key,
            "LECTERN_LOG_LEVEL": "error",
            "LECTERN_EMBEDDER_LISTEN": f"127.0.0.1:{port}",
            "LECTERN_EMBEDDER_METRICS_PORT": str(metrics_port),
            "LECTERN_EMBEDDER_MODEL": model,
            "LECTERN_EMBEDDER_PRECISION": precision,
            # Nothing listens there: this benchmark needs no index, and the service says so in its health without minding.
            "LECTERN_EMBEDDER_MILVUS_URI": "http://127.0.0.1:9",
            **{f"LECTERN_EMBEDDER_{name}": value for name, value in changes.items()},
        }
        process = subprocess.Popen([sys.executable, "-m", "embedder"], env=os.environ | settings)  # noqa: ASYNC220  # returns at once
        channel = open_channel(f"127.0.0.1:{port}", CallerSigner(key.encode()))
        try:
            ends = time.monotonic() + _START_SECONDS
            while not await is_serving(channel, _SERVICE_NAME):
                if process.poll() is not None or time.monotonic() > ends:
                    raise RuntimeError("The embedder did not start; its log is above.")
                await asyncio.sleep(0.2)
            with acting_for(Caller("bench", "service:bench")):
                yield cls(f"Lectern's service, {precision}, gRPC", EmbeddingServiceStub(channel), psutil.Process(process.pid), metrics_port)
        finally:
            await channel.close()
            process.terminate()
            await asyncio.to_thread(process.wait)

    async def embed(self, texts: Sequence[str]) -> Vectors:
        async def one_request(part: Sequence[str]) -> Vectors:
            return wire.unpack((await self.embed_request(part)).vectors)

        return await by_clients(texts, one_request)

    async def embed_request(self, texts: Sequence[str]) -> embedding_pb2.EmbedTextsResponse:
        """Send one bulk request."""
        request = embedding_pb2.EmbedTextsRequest(
            texts=texts,
            task=embedding_pb2.EMBEDDING_TASK_PASSAGE,
            lane=embedding_pb2.LANE_BULK,
            element_type=vectors_pb2.ELEMENT_TYPE_FLOAT32,
        )
        response: embedding_pb2.EmbedTextsResponse = await self.stub.EmbedTexts(request, timeout=3600)
        return response

    async def embed_query(self, text: str) -> None:
        request = embedding_pb2.EmbedTextsRequest(
            texts=[text], task=embedding_pb2.EMBEDDING_TASK_QUERY, lane=embedding_pb2.LANE_INTERACTIVE
        )
        await self.stub.EmbedTexts(request, timeout=60)

    async def embedded_tokens(self) -> float:
        """Tokens that have gone through the model since the start, by the service's own count."""
        page = await asyncio.to_thread(lambda: urlopen(self._metrics, timeout=10).read().decode())  # noqa: S310  # our own address
        return float(next(line.split()[1] for line in page.splitlines() if line.startswith("lectern_embedder_tokens_total ")))

    def memory_bytes(self) -> int:
        """What it holds in memory now."""
        return int(self._process.memory_info().rss)

    def cpu_seconds(self) -> float:
        times = self._process.cpu_times()
        return float(times.user + times.system)


async def by_clients(texts: Sequence[str], one_request: Callable[[Sequence[str]], Awaitable[Vectors]]) -> Vectors:
    """Send ``texts`` in small requests from many clients at once; vectors in the texts' order."""
    parts = [texts[start : start + TEXTS_PER_REQUEST] for start in range(0, len(texts), TEXTS_PER_REQUEST)]
    answers: list[Vectors | None] = [None] * len(parts)
    waiting = iter(range(len(parts)))

    async def client() -> None:
        for number in waiting:
            answers[number] = await one_request(parts[number])

    async with asyncio.TaskGroup() as clients:
        for _ in range(CLIENTS):
            clients.create_task(client())
    return np.concatenate([answer for answer in answers if answer is not None])
