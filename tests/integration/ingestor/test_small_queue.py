"""The real embedder with hardly any room, and somebody else who takes what there is: ingestion is held back and loses nothing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import grpc
import pytest

from lectern.embedder.v1 import embedding_pb2, index_pb2
from lectern.embedder.v1.embedding_pb2_grpc import EmbeddingServiceStub
from lectern.embedder.v1.index_pb2_grpc import IndexServiceStub
from lectern.ingestor.v1 import documents_pb2, jobs_pb2
from shared.caller import Caller
from shared.rpc.channel import acting_for, open_channel, peer_errors
from tests.contract.embedder.process import running
from tests.integration.ingestor.dictionary_embedder import Indexes
from tests.integration.ingestor.library import ingestor_settings, open_library

pytestmark = pytest.mark.asyncio(loop_scope="session")
DOCUMENTS = 300


@asynccontextmanager
async def somebody_elses_load(channel: grpc.aio.Channel) -> AsyncIterator[list[grpc.StatusCode]]:
    """Bulk calls of another organisation without pause; the statuses that they ended with."""
    request = embedding_pb2.EmbedTextsRequest(texts=["The crane lifts what the ship brings. " * 20] * 8, lane=embedding_pb2.LANE_BULK)
    statuses: list[grpc.StatusCode] = []

    async def call_without_end() -> None:
        with acting_for(Caller("other", "user:other")):
            while True:
                call = EmbeddingServiceStub(channel).EmbedTexts(request, timeout=60)
                statuses.append(await call.code())
                await asyncio.sleep(0.02)  # it may be as impatient as it likes, but not take both cores from the test

    callers = [asyncio.create_task(call_without_end()) for _ in range(4)]
    try:
        yield statuses
    finally:
        for caller in callers:
            caller.cancel()
        await asyncio.gather(*callers, return_exceptions=True)


async def test_ingestion_through_an_embedder_with_hardly_any_room_loses_no_passage_and_doubles_none(
    database_url: str, milvus_uri: str, tmp_path: Path
) -> None:
    with running(tmp_path, milvus_uri, INDEX_ALIAS="small_queue", QUEUE_TOKENS="1024") as embedder:
        port = int(embedder.target.rpartition(":")[2])
        settings = ingestor_settings(database_url, tmp_path / "files", bytes.fromhex(embedder.key), port)
        entries = [
            documents_pb2.BatchEntry(external_id=f"d-{number}", text=f"Crane {number} was repaired. " * (1 + number % 40))
            for number in range(DOCUMENTS)
        ]
        async with open_library(settings, Indexes()) as library, open_channel(embedder.target, embedder.signer) as channel:
            await library.create_collection()
            async with somebody_elses_load(channel) as statuses:
                batch = await library.batch(entries)
                job = await library.ended(batch.job.job_id, seconds=100)
            documents = await library.query("SELECT visible_generation, passage_count FROM library.document")
            passages = await library.query("SELECT passage_id FROM library.passage")
            ids = [row["passage_id"] for row in passages]
            with acting_for(Caller(library.organisation_id, "user:test")), peer_errors("embedder"):
                index = IndexServiceStub(channel)
                held = await index.GetIndexStatistics(index_pb2.GetIndexStatisticsRequest(), timeout=30)
                missing = await index.FindMissingPassages(index_pb2.FindMissingPassagesRequest(passage_ids=ids), timeout=30)
    assert grpc.StatusCode.RESOURCE_EXHAUSTED in statuses
    assert grpc.StatusCode.OK in statuses
    assert (job.state, job.done_count, len(job.failures)) == (jobs_pb2.JOB_STATE_SUCCEEDED, DOCUMENTS, 0), job
    assert [row["visible_generation"] for row in documents] == [1] * DOCUMENTS
    assert sum(row["passage_count"] for row in documents) == len(ids) == len(set(ids)) >= DOCUMENTS
    assert held.passage_count == len(ids)
    assert list(missing.missing_passage_ids) == []
