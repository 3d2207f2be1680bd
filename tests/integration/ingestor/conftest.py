"""A running ingestor over a real database, with an embedder that a test can break."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from ingestor.settings import IngestorSettings
from shared.rpc.caller_signing import CallerSigner
from tests.integration.ingestor.dictionary_embedder import Index, serve_dictionary
from tests.integration.ingestor.library import Library, ingestor_settings, open_library


@pytest.fixture
async def index() -> Index:
    index = Index()
    index.open.set()
    return index


@pytest.fixture
async def embedder_port(index: Index, internal_key: bytes) -> AsyncIterator[int]:
    async with serve_dictionary(index, CallerSigner(internal_key.hex().encode())) as port:
        yield port


@pytest.fixture
def settings(database_url: str, tmp_path: Path, internal_key: bytes, embedder_port: int) -> IngestorSettings:
    return ingestor_settings(database_url, tmp_path / "files", internal_key, embedder_port)


@pytest.fixture
async def library(settings: IngestorSettings, index: Index) -> AsyncIterator[Library]:
    async with open_library(settings, index) as library:
        yield library
