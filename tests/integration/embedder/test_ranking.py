"""The ranking that searches end in, with the real model over the judged sets."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from bench.fusion import JudgedSet, ndcg, read_judged_set
from embedder.adapters.memory_index import MemoryIndex
from embedder.adapters.metrics import PrometheusObserver
from embedder.adapters.milvus.index import MilvusIndex
from embedder.adapters.transformers.checkpoint import read_checkpoint
from embedder.adapters.transformers.loading import load_encoder
from embedder.adapters.transformers.tokenizer import FastTokenizer
from embedder.domain.analysis.analyzer import Analyzer
from embedder.domain.batcher import Batcher
from embedder.domain.batching import BatchLimits, Lane
from embedder.domain.embedding import Model, TextEmbedder, Urgency
from embedder.domain.engine import Engines
from embedder.domain.filters import Scope
from embedder.domain.index import VectorIndex
from embedder.domain.indexing import PassageIndexer
from embedder.domain.passages import Passage, PassageAttributes
from embedder.domain.search import Mode, PassageSearch, SearchRequest
from embedder.domain.statistics import StatisticsCache

JUDGED = Path(__file__).parents[3] / "bench" / "judged"


class Library:
    """A judged set, indexed as an organisation of its own."""

    def __init__(self, embedder: TextEmbedder, analyzer: Analyzer, index: VectorIndex) -> None:
        statistics = StatisticsCache(index)
        self.threads = ThreadPoolExecutor(1)
        self._indexer = PassageIndexer(embedder, analyzer, index, statistics, self.threads)
        self._search = PassageSearch(embedder, analyzer, index, statistics)
        self._organisation = f"org-{secrets.token_hex(4)}"

    async def write(self, judged: JudgedSet) -> None:
        passages = [
            Passage(document["id"], document["id"], 1, document["text"], PassageAttributes(judged.name), context=document["title"])
            for document in judged.documents
        ]
        await self._indexer.index(self._organisation, passages, Urgency(Lane.BULK))

    async def find(self, query: str, mode: Mode = Mode.HYBRID, limit: int = 10) -> list[str]:
        result = await self._search.search(self._organisation, SearchRequest(query, Scope(), limit, mode=mode))
        return [hit.passage_id for hit in result.hits]


@asynccontextmanager
async def libraries(*indexes: VectorIndex) -> AsyncIterator[list[Library]]:
    """One library over each index, all with the packaged model."""
    checkpoint = read_checkpoint("minilm")
    tokenizer = FastTokenizer(checkpoint)
    batcher = Batcher(BatchLimits(), PrometheusObserver())
    encoder = load_encoder(checkpoint, tokenizer, device="cpu", precision="fp32", threads=2)
    running = asyncio.create_task(batcher.run(Engines.shared(encoder, "fp32")))
    await asyncio.sleep(0)
    embedder, analyzer = TextEmbedder(Model(checkpoint.spec, "cpu"), tokenizer, batcher, ThreadPoolExecutor(1)), Analyzer()
    yield [Library(embedder, analyzer, index) for index in indexes]
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


@pytest.mark.parametrize("name", ["english", "french"])
async def test_both_arms_together_are_not_below_the_better_one(name: str) -> None:
    judged = read_judged_set(JUDGED / name)
    async with libraries(MemoryIndex()) as (library,):
        await library.write(judged)
        means = {}
        for mode in Mode:
            rankings = [(await library.find(text, mode), judged.grades[query]) for query, text in judged.queries.items()]
            means[mode] = sum(ndcg(ranking, grades) for ranking, grades in rankings) / len(rankings)
    assert means[Mode.HYBRID] >= max(means[Mode.DENSE], means[Mode.LEXICAL])


async def test_the_store_does_not_decide_the_ranking(milvus_uri: str) -> None:
    judged = read_judged_set(JUDGED / "english")
    milvus = MilvusIndex(milvus_uri, "", "ranking", read_checkpoint("minilm").spec)
    async with libraries(milvus, MemoryIndex()) as (stored, exact):
        await asyncio.gather(stored.write(judged), exact.write(judged))
        for query in list(judged.queries.values())[:25]:
            assert await stored.find(query) == await exact.find(query)
    await milvus.close()
