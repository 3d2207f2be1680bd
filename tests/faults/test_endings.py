"""What is told to end does, whatever breaks meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from ingestor.adapters.parsers.process import ParserProcess, ProcessLimits
from ingestor.adapters.parsers.wire import Request
from ingestor.adapters.postgres import database as postgres
from ingestor.adapters.postgres.database import Database, open_database
from ingestor.domain.parsing import DocumentLimits, SourceFile


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
