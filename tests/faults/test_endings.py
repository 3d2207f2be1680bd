"""What is told to end does, whatever breaks meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from ingestor.adapters.parsers.process import ParserProcess, ProcessLimits
from ingestor.adapters.parsers.wire import Request
from ingestor.adapters.postgres.database import Database, open_database
from ingestor.adapters.postgres.queue import PostgresQueue
from ingestor.domain.parsing import DocumentLimits, SourceFile
from ingestor.migrations import FOLDER, SCHEMA
from lectern.ingestor.v1 import documents_pb2
from shared import postgres
from shared.errors import AppError
from shared.migrations import Migrations
from shared.rpc.caller_signing import CallerSigner
from tests.integration.ingestor.dictionary_embedder import Indexes, serve_dictionary
from tests.integration.ingestor.library import eventually, ingestor_settings, open_library


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    async with open_database(database_url, max_connections=2) as opened:
        yield opened


async def test_work_that_is_cancelled_ends_cancelled_though_its_transaction_cannot_be_rolled_back(database: Database) -> None:
    begun = asyncio.Event()

    async def work() -> None:
        async with database.transaction() as connection:
            connection.terminate()  # as when the server has gone
            begun.set()
            await asyncio.Event().wait()

    working = asyncio.create_task(work())
    await begun.wait()
    working.cancel()
    with pytest.raises(asyncio.CancelledError):
        await working


async def test_a_database_closes_though_a_connection_was_never_given_back(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgres, "CLOSE_SECONDS", 0.2)
    begun = asyncio.Event()

    async def keep(database: Database) -> None:
        async with database.connection():
            begun.set()
            await asyncio.Event().wait()

    async with asyncio.timeout(60):
        async with open_database(database_url, max_connections=1) as database:
            keeping = asyncio.create_task(keep(database))
            await begun.wait()
    keeping.cancel()
    await asyncio.gather(keeping, return_exceptions=True)


async def test_locks_of_a_process_that_froze_in_the_middle_of_a_statement_end_with_its_lease(database_url: str) -> None:
    await Migrations(SCHEMA, FOLDER).upgrade(database_url)
    async with open_database(database_url, max_connections=2, idle_seconds=1.0) as database:
        queue = PostgresQueue(database, lease_seconds=1.0, max_deliveries=3)

        async def lock_is_free() -> bool:
            await queue.reap()
            async with database.transaction() as connection:
                return bool(await connection.fetchval("SELECT pg_try_advisory_xact_lock(1)"))

        with pytest.raises(AppError, match="DATABASE_UNAVAILABLE"):
            async with database.transaction() as frozen:
                await frozen.execute("SELECT pg_advisory_xact_lock(1)")
                await frozen.prepare("SELECT 1")  # the first half of a statement, after which the server does not take us for idle
                assert not await lock_is_free()
                await eventually(lock_is_free)


async def test_a_parser_ends_in_the_middle_of_an_answer_that_nobody_reads(tmp_path: Path) -> None:
    limits = ProcessLimits()
    parser = await ParserProcess.start("parse", limits, str(tmp_path))
    file = SourceFile("long.txt", b"many words " * 200_000, None)
    await parser._send(Request(file, DocumentLimits(), limits.cpu_seconds))
    answer: Any = parser._process.stdout
    async with asyncio.timeout(60):
        while not answer._paused:  # noqa: ASYNC110  # as much has come as is taken unread
            await asyncio.sleep(0.01)
        await parser.kill()
    assert not parser.alive


async def test_work_without_progress_is_given_up_and_put_aside_after_its_last_delivery(
    database_url: str, tmp_path: Path, internal_key: bytes
) -> None:
    indexes = Indexes()
    indexes["acme"].deadly.add("never answered")
    queue = {"lease_seconds": 1.0, "poll_seconds": 0.2, "stall_seconds": 1.0, "max_deliveries": 2}
    async with serve_dictionary(indexes, CallerSigner(internal_key.hex().encode())) as port:
        settings = ingestor_settings(database_url, tmp_path, internal_key, port, queue=queue)
        async with open_library(settings, indexes) as library:
            await library.create_collection()
            stalled = await library.upload("never answered", external_id="stalled", name="stalled.txt")
            await library.ended(stalled.job.job_id, seconds=60)
            document = await library.get(stalled.document.document_id)
            assert (document.state, document.reason) == (documents_pb2.DOCUMENT_STATE_QUARANTINED, "QUARANTINED")
            assert "failed with STAGE_STALLED 2 times" in document.message
            answered = await library.upload("answered at once", external_id="answered", name="answered.txt")
            await library.ended(answered.job.job_id, seconds=60)
            assert (await library.get(answered.document.document_id)).state == documents_pb2.DOCUMENT_STATE_READY
