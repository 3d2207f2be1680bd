"""What every object store must do, over each kind that can run here."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from ingestor.adapters.object_store import ObjectContent, open_store
from ingestor.adapters.postgres.database import open_database
from ingestor.domain.content import object_key
from ingestor.migrations import FOLDER, SCHEMA
from shared.errors import AppError, Status
from shared.migrations import Migrations
from tests.integration.ingestor.library import error_of


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@pytest.fixture(params=["file", "memory"])
async def content(request: pytest.FixtureRequest, tmp_path: Path, database_url: str) -> AsyncIterator[ObjectContent]:
    await Migrations(SCHEMA, FOLDER).upgrade(database_url)
    url = (tmp_path / "a folder").as_uri() if request.param == "file" else "memory:///"
    async with open_database(database_url, max_connections=2) as database:
        yield ObjectContent(open_store(url), database)


@pytest.mark.parametrize("data", [b"", b"a", bytes(range(256)) * 40_000], ids=["empty", "small", "larger than a part"])
async def test_what_was_put_comes_back(content: ObjectContent, data: bytes) -> None:
    await content.put("acme", digest(data), data)
    assert await content.get("acme", digest(data)) == data


async def test_putting_the_same_again_changes_nothing(content: ObjectContent) -> None:
    for _ in range(2):
        await content.put("acme", digest(b"a"), b"a")
    assert await content.get("acme", digest(b"a")) == b"a"


@pytest.mark.parametrize("stranger", ["other", "acme/..", "..", "acme%2F..", ""])
async def test_no_organisation_reaches_anothers_bytes(content: ObjectContent, stranger: str) -> None:
    await content.put("acme", digest(b"a"), b"a")
    error = await error_of(content.get(stranger, digest(b"a")))
    assert isinstance(error, AppError)
    assert await content.get("acme", digest(b"a")) == b"a"


async def test_what_was_removed_is_lost_and_removing_it_again_is_no_error(content: ObjectContent) -> None:
    await content.put("acme", digest(b"a"), b"a")
    for _ in range(2):
        await content.remove("acme", object_key(digest(b"a")))
    error = await error_of(content.get("acme", digest(b"a")))
    assert (error.reason, error.status) == ("CONTENT_LOST", Status.DATA_LOSS)


async def test_bytes_that_are_not_what_their_key_says_are_refused(content: ObjectContent) -> None:
    await content.put("acme", digest(b"a"), b"b")
    error = await error_of(content.get("acme", digest(b"a")))
    assert (error.reason, error.status) == ("CONTENT_CORRUPT", Status.DATA_LOSS)


@pytest.mark.parametrize("url", ["nowhere", "gopher://host/path"])
def test_a_url_that_names_no_store_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="object store"):
        open_store(url)
