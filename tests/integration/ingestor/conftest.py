"""A running ingestor over a real database, with an embedder that a test can break.

Starting one takes seconds, so most tests share one and keep to an organisation of their own. Those that break more than their own
organisation's embedder start their own (``own_library``).
"""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest
import pytest_asyncio

from ingestor.settings import IngestorSettings
from shared.logging import configure_logging
from shared.rpc.caller_signing import CallerSigner
from tests.conftest import left_in_time
from tests.integration.ingestor.dictionary_embedder import Indexes, serve_dictionary
from tests.integration.ingestor.library import Library, ingestor_settings, open_library


@pytest.fixture(scope="session", autouse=True)
def logging() -> None:
    configure_logging("ingestor", level="info", style="json")


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def shared_library(postgres_url: str, tmp_path_factory: pytest.TempPathFactory, internal_key: bytes) -> AsyncIterator[Library]:
    name = f"shared_library_{secrets.token_hex(4)}"
    connection = await asyncpg.connect(postgres_url)
    await connection.execute(f"CREATE DATABASE {name}")
    await connection.close()
    database_url = postgres_url.replace("/postgres?", f"/{name}?")
    indexes = Indexes()
    async with serve_dictionary(indexes, CallerSigner(internal_key.hex().encode())) as port:
        settings = ingestor_settings(database_url, tmp_path_factory.mktemp("files"), internal_key, port)
        async with left_in_time(open_library(settings, indexes)) as library:
            yield library


@pytest.fixture
def library(shared_library: Library) -> Library:
    """The shared ingestor, called by an organisation that nobody else knows."""
    return shared_library.for_organisation(f"acme-{secrets.token_hex(4)}")


@pytest.fixture
def indexes() -> Indexes:
    return Indexes()


@pytest_asyncio.fixture(loop_scope="session")
async def embedder_port(indexes: Indexes, internal_key: bytes) -> AsyncIterator[int]:
    async with serve_dictionary(indexes, CallerSigner(internal_key.hex().encode())) as port:
        yield port


@pytest.fixture
def settings(database_url: str, tmp_path: Path, internal_key: bytes, embedder_port: int) -> IngestorSettings:
    return ingestor_settings(database_url, tmp_path / "files", internal_key, embedder_port)


@pytest_asyncio.fixture(loop_scope="session")
async def own_library(settings: IngestorSettings, indexes: Indexes) -> AsyncIterator[Library]:
    """An ingestor of the test's own."""
    async with open_library(settings, indexes) as library:
        yield library
