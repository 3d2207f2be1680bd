"""The index while its store fails, restarts, flushes or holds something else."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path

import grpc
import numpy as np
import pytest

from deploy.laptop.milvus import EmbeddedMilvus
from embedder.adapters.milvus.index import MilvusIndex
from embedder.domain.encoding import EncoderSpec
from embedder.domain.passages import IndexedPassage, Passage, PassageAttributes
from lectern.embedder.v1 import embedding_pb2, index_pb2
from lectern.embedder.v1.embedding_pb2_grpc import EmbeddingServiceStub
from lectern.embedder.v1.index_pb2_grpc import IndexServiceStub
from shared.caller import Caller
from shared.errors import AppError, Status
from shared.rpc.channel import acting_for, open_channel
from shared.rpc.status import from_rpc_error
from tests.conftest import free_port
from tests.contract.embedder.process import EMBEDDING_SERVICE, INDEX_SERVICE, EmbedderProcess

SPEC = EncoderSpec("outage", "1" * 64, 4, 256, normalised=True)


class Milvus:
    """A Milvus Lite server that is stopped and started at one address, over one folder."""

    def __init__(self, folder: Path) -> None:
        self._log = (folder / "milvus.log").open("wb")
        self.server = EmbeddedMilvus(folder / "data", free_port(), self._log)

    def close(self) -> None:
        self.server.kill()
        self._log.close()


@pytest.fixture
def milvus(tmp_path: Path) -> Iterator[Milvus]:
    made = Milvus(tmp_path)
    yield made
    made.close()


@pytest.fixture
def embedder(milvus: Milvus, tmp_path: Path) -> Iterator[EmbedderProcess]:
    started = EmbedderProcess(tmp_path, milvus.server.uri)
    yield started
    started.close()


async def write(index: object, numbers: range) -> None:
    async def requests() -> AsyncIterator[index_pb2.IndexPassagesRequest]:
        yield index_pb2.IndexPassagesRequest(
            passages=[
                index_pb2.Passage(
                    passage_id=f"p{number}",
                    document_id="document",
                    generation=1,
                    text=f"Part {number} of the pump.",
                    attributes=index_pb2.PassageAttributes(collection_id="collection"),
                )
                for number in numbers
            ]
        )

    async for response in index.IndexPassages(requests(), timeout=60):  # type: ignore[attr-defined]
        assert response.written_count == len(numbers)


@pytest.mark.timeout(240)
async def test_what_was_written_survives_a_crash_of_the_store_and_the_index_comes_back_by_itself(
    milvus: Milvus, embedder: EmbedderProcess
) -> None:
    milvus.server.start()
    embedder.wait_until(serving=True)
    async with open_channel(embedder.target, embedder.signer) as channel:
        index = IndexServiceStub(channel)
        with acting_for(Caller("org", "service:test")):
            await write(index, range(40))
            milvus.server.kill()
            with pytest.raises(grpc.aio.AioRpcError) as down:
                await index.Search(index_pb2.SearchRequest(query="pump", limit=10), timeout=60)
            error = from_rpc_error(down.value)
            assert (error.status, error.reason) == (Status.UNAVAILABLE, "INDEX_UNAVAILABLE")
            await asyncio.to_thread(embedder.wait_until, serving=False, service=INDEX_SERVICE)
            await asyncio.to_thread(embedder.wait_until, serving=True, service=EMBEDDING_SERVICE)

            milvus.server.start()
            await asyncio.to_thread(embedder.wait_until, serving=True, service=INDEX_SERVICE)
            ids = [f"p{number}" for number in range(41)]
            missing = await index.FindMissingPassages(index_pb2.FindMissingPassagesRequest(passage_ids=ids))
            assert list(missing.missing_passage_ids) == ["p40"]
            await write(index, range(40, 50))
            assert len((await index.Search(index_pb2.SearchRequest(query="pump", limit=100))).hits) == 50


@pytest.mark.timeout(240)
async def test_an_embedder_without_a_store_embeds_and_indexes_once_the_store_is_there(milvus: Milvus, embedder: EmbedderProcess) -> None:
    embedder.wait_until(serving=True, service=EMBEDDING_SERVICE)
    embedder.wait_until(serving=False, service=INDEX_SERVICE)
    async with open_channel(embedder.target, embedder.signer) as channel:
        with acting_for(Caller("org", "service:test")):
            response = await EmbeddingServiceStub(channel).EmbedTexts(embedding_pb2.EmbedTextsRequest(texts=["pump"]))
            assert response.vectors.count == 1
            milvus.server.start()
            await asyncio.to_thread(embedder.wait_until, serving=True, service=INDEX_SERVICE)
            await write(IndexServiceStub(channel), range(3))


def rows(first: int, count: int) -> list[IndexedPassage]:
    vectors = np.random.default_rng(first).normal(size=(count, SPEC.dimension)).astype(np.float32)
    passages = (Passage(f"p{first + place}", "document", 1, "text", PassageAttributes("collection")) for place in range(count))
    return [IndexedPassage(passage, vector, "pump valv") for passage, vector in zip(passages, vectors, strict=True)]


async def test_rows_are_there_also_while_the_store_flushes(milvus_uri: str) -> None:
    index, organisation = MilvusIndex(milvus_uri, "", "flushing", SPEC), f"org-{secrets.token_hex(4)}"
    written: list[str] = []
    missed: list[str] = []
    writing = True

    async def look() -> None:
        while writing:
            known = list(written)
            missed.extend(await index.find_missing(organisation, known[-300:]))
            await asyncio.sleep(0)  # with nothing to look for, looking does not wait

    looking = asyncio.create_task(look())
    for first in range(0, 2_500, 250):
        await index.upsert(organisation, rows(first, 250))
        written.extend(f"p{first + place}" for place in range(250))
    writing = False
    await looking
    assert missed == []
    assert await index.count(organisation, None) == 2_500
    await index.close()


async def test_an_alias_that_leads_to_another_models_vectors_is_refused(milvus_uri: str) -> None:
    ours = MilvusIndex(milvus_uri, "", "taken", SPEC)
    await ours.upsert("org", rows(0, 1))
    await ours.close()
    theirs = MilvusIndex(milvus_uri, "", "taken", replace(SPEC, revision="2" * 64))
    assert not await theirs.is_serving()
    with pytest.raises(AppError) as refused:
        await theirs.count("org", None)
    assert (refused.value.status, refused.value.reason) == (Status.FAILED_PRECONDITION, "INDEX_OF_OTHER_MODEL")
    await theirs.close()


async def test_the_physical_collection_is_named_by_model_and_revision_behind_the_alias(milvus_uri: str) -> None:
    index = MilvusIndex(milvus_uri, "", "named", replace(SPEC, name="some/model v2", revision="abcdef0123456789"))
    assert await index.is_serving()
    assert index.physical_collection == "named_some_model_v2_abcdef012345"
    await index.close()
