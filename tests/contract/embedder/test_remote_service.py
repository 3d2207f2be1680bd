"""A remote model through the embedder's process, as callers of its service meet it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from typing import TYPE_CHECKING

import numpy as np
import pytest

from lectern.embedder.v1 import embedding_pb2
from lectern.embedder.v1.embedding_pb2_grpc import EmbeddingServiceStub
from shared.caller import Caller
from shared.rpc.channel import acting_for, open_channel
from shared.vectors import unpack
from tests.contract.embedder.embeddings_server import EmbeddingsServer, good, serving, status, vector
from tests.contract.embedder.process import EMBEDDING_SERVICE, EmbedderProcess

if TYPE_CHECKING:
    from lectern.embedder.v1.embedding_pb2_grpc import EmbeddingServiceAsyncStub

SECRET = "sk-a-key-of-the-tests"
NO_MILVUS = "http://127.0.0.1:9"


# What its fixtures make is made once in each worker that runs one of these.
pytestmark = pytest.mark.xdist_group("remote_service")


@pytest.fixture(scope="module")
def server() -> Iterator[EmbeddingsServer]:
    with serving() as started:
        yield started


def configured(server: EmbeddingsServer) -> dict[str, str]:
    entry = {"name": "far", "url": server.url, "api_key": SECRET, "remote_model": "their-model", "batch_texts": 8}
    return {"MODEL": "far", "MODELS": json.dumps([entry])}


@pytest.fixture(scope="module")
def embedder(server: EmbeddingsServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbedderProcess]:
    started = EmbedderProcess(tmp_path_factory.mktemp("remote"), NO_MILVUS, **configured(server))
    try:
        started.wait_until(serving=True, service=EMBEDDING_SERVICE)
        yield started
    finally:
        started.close()


@pytest.fixture
async def embedding(embedder: EmbedderProcess) -> AsyncIterator[EmbeddingServiceAsyncStub]:
    with acting_for(Caller("org", "service:test")):
        async with open_channel(embedder.target, embedder.signer) as channel:
            yield EmbeddingServiceStub(channel)


async def test_texts_of_many_calls_come_back_as_their_own_vectors_through_a_storm(
    server: EmbeddingsServer, embedding: EmbeddingServiceAsyncStub
) -> None:
    server.script.extend([good, status(429, retry_after="1"), good, status(503)])
    calls = [[f"call {call} text {number}" for number in range(20)] for call in range(5)]
    replies = await asyncio.gather(
        *(embedding.EmbedTexts(embedding_pb2.EmbedTextsRequest(texts=texts, lane=embedding_pb2.LANE_BULK), timeout=60) for texts in calls)
    )
    for texts, reply in zip(calls, replies, strict=True):
        np.testing.assert_allclose(unpack(reply.vectors), [vector(text) for text in texts], atol=1e-6)
        assert {server.answered[text] for text in texts} == {1}


async def test_the_model_is_listed_as_remote_and_tokens_are_counted_here(
    embedder: EmbedderProcess, embedding: EmbeddingServiceAsyncStub
) -> None:
    (model,) = (await embedding.ListModels(embedding_pb2.ListModelsRequest())).models
    assert (model.name, model.device, model.dimension, model.memory_bytes) == ("far", "remote", 3, 0)
    assert model.state == embedding_pb2.MODEL_STATE_READY
    embedder.wait_until(serving=True, service="models/far", seconds=10)
    tokens = await embedding.TokenizeTexts(embedding_pb2.TokenizeTextsRequest(texts=["☕ one two"]))
    assert np.frombuffer(tokens.texts[0].token_starts, dtype="<u4").tolist() == [0, 2, 6]


async def test_the_key_is_in_no_line_of_the_log(embedder: EmbedderProcess) -> None:
    assert SECRET not in embedder.log.read_text()


@pytest.mark.parametrize(
    ("code", "environment", "message"),
    [(401, {}, "api_key"), (200, {"TEI_LISTEN": "127.0.0.1:1"}, "LECTERN_EMBEDDER_TEI_LISTEN")],
)
def test_a_start_that_cannot_serve_ends_with_the_fix(
    tmp_path_factory: pytest.TempPathFactory, code: int, environment: dict[str, str], message: str
) -> None:
    with serving() as server:
        server.always = status(code) if code != 200 else None
        started = EmbedderProcess(tmp_path_factory.mktemp("refused"), NO_MILVUS, **configured(server), **environment)
        try:
            assert started.process.wait(60) == 2
        finally:
            started.close()
        log = started.log.read_text()
        assert message in log
        assert SECRET not in log
