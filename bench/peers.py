"""What others offer: sentence-transformers and infinity."""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import numpy as np
import torch

from bench.measuring import Vectors
from embedder.adapters.transformers.checkpoint import model_folder

try:
    from sentence_transformers import SentenceTransformer
except ImportError:
    sys.exit("The benchmarks' peers are not installed: `pip install -e '.[embedder,laptop,bench]'`, or `make setup`.")


def sentence_transformer(folder: Path, *, device: str, dtype: torch.dtype) -> SentenceTransformer:
    return SentenceTransformer(str(folder), device=device, model_kwargs={"dtype": dtype})


class SentenceTransformers:
    """The library as its documentation says to use it, weights in float32."""

    name = "sentence-transformers"

    def __init__(self, model: str) -> None:
        self._model = sentence_transformer(model_folder(model), device="cpu", dtype=torch.float32)

    async def embed(self, texts: Sequence[str]) -> Vectors:
        return np.asarray(self._model.encode(list(texts), show_progress_bar=False))

    async def embed_query(self, text: str) -> None:
        self._model.encode([text], show_progress_bar=False)

    def cpu_seconds(self) -> float:
        return time.process_time()


class Infinity:
    """Infinity's asynchronous engine, without its HTTP server; in a process of its own, for it pins other versions than ours."""

    name = "infinity (PyTorch)"

    def __init__(self, worker: asyncio.subprocess.Process, vectors: Path) -> None:
        self._worker = worker
        self._vectors = vectors
        self._seconds = 0.0

    @classmethod
    @asynccontextmanager
    async def running(cls, python: Path, model: str) -> AsyncIterator[Infinity]:
        with tempfile.TemporaryDirectory() as folder:
            vectors = Path(folder) / "vectors.npy"
            arguments = (python, Path(__file__).with_name("infinity_worker.py"), model_folder(model), vectors)
            pipe = asyncio.subprocess.PIPE
            worker = await asyncio.create_subprocess_exec(*arguments, stdin=pipe, stdout=pipe, stderr=asyncio.subprocess.DEVNULL)
            contender = cls(worker, vectors)
            try:
                await contender._answer()
                yield contender
            finally:
                worker.terminate()
                await worker.wait()

    async def embed(self, texts: Sequence[str]) -> Vectors:
        await self._ask(texts)
        return np.asarray(np.load(self._vectors), dtype=np.float32)

    async def embed_query(self, text: str) -> None:
        await self._ask([text])

    def cpu_seconds(self) -> float:
        return self._seconds

    async def _ask(self, texts: Sequence[str]) -> None:
        assert self._worker.stdin
        self._worker.stdin.write(json.dumps(list(texts)).encode() + b"\n")
        await self._worker.stdin.drain()
        await self._answer()

    async def _answer(self) -> None:
        assert self._worker.stdout
        line = await self._worker.stdout.readline()
        if not line:
            raise RuntimeError("infinity ended. Run bench/infinity_worker.py by hand to see why.")
        self._seconds = json.loads(line)["seconds"]
