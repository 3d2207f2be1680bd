"""One embedder for all contract tests; every test is an organisation of its own."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Iterator
from typing import TYPE_CHECKING

import pytest

from lectern.embedder.v1.embedding_pb2_grpc import EmbeddingServiceStub
from lectern.embedder.v1.index_pb2_grpc import IndexServiceStub
from shared.caller import Caller
from shared.rpc.channel import acting_for, open_channel
from tests.contract.embedder.process import EmbedderProcess, running

if TYPE_CHECKING:
    import grpc

    from lectern.embedder.v1.embedding_pb2_grpc import EmbeddingServiceAsyncStub
    from lectern.embedder.v1.index_pb2_grpc import IndexServiceAsyncStub


@pytest.fixture(scope="session")
def embedder(milvus_uri: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbedderProcess]:
    with running(tmp_path_factory.mktemp("embedder"), milvus_uri, INDEX_ALIAS="contract_rpc", QUEUE_TOKENS="20000") as started:
        yield started


@pytest.fixture
async def channel(embedder: EmbedderProcess) -> AsyncIterator[grpc.aio.Channel]:
    """A channel whose calls are made for an organisation that nobody else is."""
    with acting_for(Caller(f"org-{secrets.token_hex(6)}", "service:test")):
        async with open_channel(embedder.target, embedder.signer) as opened:
            yield opened


@pytest.fixture
def embedding(channel: grpc.aio.Channel) -> EmbeddingServiceAsyncStub:
    return EmbeddingServiceStub(channel)


@pytest.fixture
def index(channel: grpc.aio.Channel) -> IndexServiceAsyncStub:
    return IndexServiceStub(channel)
