"""Bytes and the rows that know of them, when an upload and a purge meet."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio

from ingestor.adapters.object_store import ObjectContent, open_store
from ingestor.adapters.parsers.pool import ParserPool
from ingestor.adapters.parsers.process import ProcessLimits
from ingestor.adapters.postgres.collections import PostgresCollections
from ingestor.adapters.postgres.database import Database, open_database
from ingestor.adapters.postgres.intake import PostgresIntake
from ingestor.adapters.postgres.purges import PostgresPurges
from ingestor.domain.collections import NewCollection
from ingestor.domain.content import object_key
from ingestor.domain.incoming import DocumentHeader
from ingestor.domain.intake import Intake, IntakeLimits
from ingestor.domain.parsing import DocumentLimits
from ingestor.migrations import FOLDER, SCHEMA
from shared.migrations import Migrations

pytestmark = pytest.mark.asyncio(loop_scope="session")
DIGEST = hashlib.sha256(b"The crane.").hexdigest()
LIMITS = IntakeLimits(document_bytes=1000, batch_entries=10, batch_bytes=1000, memory_bytes=10_000)


@dataclass
class Stores:
    database: Database
    content: ObjectContent
    purges: PostgresPurges
    parser: ParserPool

    async def expire(self) -> None:
        """Let the shield of every object end."""
        async with self.database.connection() as connection:
            await connection.execute("UPDATE library.stored_object SET keep_until = now() - interval '1 second'")

    async def known(self) -> int:
        async with self.database.connection() as connection:
            return int(await connection.fetchval("SELECT count(*) FROM library.stored_object"))


@pytest_asyncio.fixture(loop_scope="session")
async def stores(database_url: str, tmp_path: Path) -> AsyncIterator[Stores]:
    await Migrations(SCHEMA, FOLDER).upgrade(database_url)
    async with open_database(database_url, max_connections=4) as database:
        content = ObjectContent(open_store((tmp_path / "files").as_uri()), database)
        parser = ParserPool(DocumentLimits(), ProcessLimits())
        yield Stores(database, content, PostgresPurges(database), parser)
        await parser.close()


def files(tmp_path: Path) -> int:
    return sum(file.is_file() for file in (tmp_path / "files").rglob("*"))


class RacingContent(ObjectContent):
    """After the first put, everything that no document uses yet is removed, as by a purge that was just ahead."""

    puts = 0
    stores: Stores

    async def put(self, organisation_id: str, content_sha256: str, content: bytes) -> None:
        await super().put(organisation_id, content_sha256, content)
        self.puts += 1
        if self.puts == 1:
            await self.stores.expire()
            await self.stores.purges.remove_orphans(self.remove)


async def upload(stores: Stores, content: ObjectContent) -> None:
    new = NewCollection("library", "", {}, 0)
    await PostgresCollections(stores.database).create("acme", "collection", new)

    async def chunks() -> AsyncIterator[bytes]:
        yield b"The crane."

    intake = Intake(PostgresIntake(stores.database), content, stores.parser, LIMITS)
    header = DocumentHeader("library", "", "crane.txt", None, "", "", "")
    await intake.upload("acme", header, chunks())


async def test_bytes_whose_upload_came_to_no_end_are_removed_after_a_while(stores: Stores, tmp_path: Path) -> None:
    await stores.content.put("acme", DIGEST, b"The crane.")
    await stores.purges.remove_orphans(stores.content.remove)
    assert (files(tmp_path), await stores.known()) == (1, 1)
    await stores.expire()
    await stores.purges.remove_orphans(stores.content.remove)
    assert (files(tmp_path), await stores.known()) == (0, 0)


async def test_bytes_that_a_document_uses_stay(stores: Stores, tmp_path: Path) -> None:
    await upload(stores, stores.content)
    await stores.expire()
    await stores.purges.remove_orphans(stores.content.remove)
    assert (files(tmp_path), await stores.known()) == (1, 1)


async def test_bytes_that_a_purge_removed_before_the_document_was_written_are_put_again(stores: Stores, tmp_path: Path) -> None:
    content = RacingContent(open_store((tmp_path / "files").as_uri()), stores.database)
    content.stores = stores
    await upload(stores, content)
    assert content.puts == 2
    assert await content.get("acme", DIGEST) == b"The crane."
    async with stores.database.connection() as connection:
        assert await connection.fetchval("SELECT object_key FROM library.document_generation") == object_key(DIGEST)
