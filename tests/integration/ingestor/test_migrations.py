"""The schema goes up and down, empty and filled, and the service refuses one that is too old."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import asyncpg
import pytest

from ingestor.migrations import FOLDER, HEAD, SCHEMA
from ingestor.server import serve
from ingestor.settings import IngestorSettings
from shared.errors import AppError
from shared.migrations import BASE, Migrations

MIGRATIONS = Migrations(SCHEMA, FOLDER)
FILL = """
INSERT INTO library.collection (collection_id, organisation_id, name, description, metadata, passage_tokens)
    VALUES ('c', 'o', 'n', '', '{}', 0);
INSERT INTO library.document (document_id, organisation_id, collection_id, identity, external_id, name, uri, metadata, state)
    VALUES ('d', 'o', 'c', 'i', '', 'n', '', '{}', 'READY');
INSERT INTO library.stored_object VALUES ('o', 'k', 1, now());
INSERT INTO library.document_generation (document_id, generation, organisation_id, state, content_sha256, size_bytes, object_key)
    VALUES ('d', 1, 'o', 'READY', 's', 1, 'k');
INSERT INTO library.passage VALUES ('p', 'o', 'd', 1, 0, 't', '', '', 0, 0, 1, '{}', '');
INSERT INTO library.page VALUES ('d', 1, 1, 'o', 't');
INSERT INTO library.job VALUES ('j', 'o', 'c', 'INGEST');
INSERT INTO library.job_step VALUES ('j', 'PARSE', 0.5, now(), now());
INSERT INTO library.task (organisation_id, job_id, document_id, generation, stage, state, weight)
    VALUES ('o', 'j', 'd', 1, 'PARSE', 'QUEUED', 1);
INSERT INTO library.deletion_receipt (document_id, organisation_id, job_id) VALUES ('d', 'o', 'j');
"""
# Tables, columns, constraints and indexes, as one comparable list.
SHAPE = """
SELECT table_name || '.' || column_name || ' ' || data_type || ' ' || is_nullable AS line FROM information_schema.columns
    WHERE table_schema = 'library' AND table_name <> 'alembic_version'
UNION ALL SELECT indexdef FROM pg_indexes WHERE schemaname = 'library' AND tablename <> 'alembic_version'
UNION ALL SELECT conrelid::regclass || ' ' || pg_get_constraintdef(oid) FROM pg_constraint
    WHERE connamespace = 'library'::regnamespace AND conrelid <> 'library.alembic_version'::regclass AND contype <> 'n'
ORDER BY line
"""


async def shape(database_url: str) -> list[str]:
    connection = await asyncpg.connect(database_url)
    try:
        return [row["line"] for row in await connection.fetch(SHAPE)]
    finally:
        await connection.close()


async def execute(database_url: str, script: str) -> None:
    connection = await asyncpg.connect(database_url)
    try:
        await connection.execute(script)
    finally:
        await connection.close()


@pytest.mark.parametrize("filled", [False, True], ids=["empty", "filled"])
async def test_the_schema_goes_up_down_and_up_again(database_url: str, filled: bool) -> None:
    assert await MIGRATIONS.current(database_url) is None
    assert await MIGRATIONS.upgrade(database_url) == HEAD
    first = await shape(database_url)
    assert first
    if filled:
        await execute(database_url, FILL)
    assert await MIGRATIONS.downgrade(database_url, BASE) is None
    assert await shape(database_url) == []
    assert await MIGRATIONS.upgrade(database_url) == HEAD
    assert await shape(database_url) == first


async def test_upgrading_twice_changes_nothing_and_keeps_what_is_there(database_url: str) -> None:
    await MIGRATIONS.upgrade(database_url)
    await execute(database_url, FILL)
    assert await MIGRATIONS.upgrade(database_url) == HEAD
    connection = await asyncpg.connect(database_url)
    assert await connection.fetchval("SELECT count(*) FROM library.passage") == 1
    await connection.close()


def test_the_service_asks_for_the_newest_version_that_there_is() -> None:
    assert MIGRATIONS.head() == HEAD


@pytest.mark.asyncio(loop_scope="session")
async def test_the_service_refuses_a_database_without_its_schema_and_names_the_command(settings: IngestorSettings) -> None:
    with pytest.raises(AppError) as raised:
        async with serve(settings):
            pass
    assert raised.value.reason == "DATABASE_SCHEMA_OUTDATED"
    assert "python -m ingestor.migrations upgrade" in raised.value.message


def test_the_command_says_which_version_it_left(database_url: str, tmp_path: Path) -> None:
    environment = {
        "PYTHONPATH": os.pathsep.join(sys.path),
        "LECTERN_INTERNAL_KEY": "k" * 32,
        "LECTERN_INGESTOR_DATABASE_URL": database_url,
        "LECTERN_INGESTOR_OBJECT_STORE_URL": tmp_path.as_uri(),
    }

    def run(*arguments: str) -> str:
        command = [sys.executable, "-m", "ingestor.migrations", *arguments]
        return subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout.strip()

    assert [run("current"), run("upgrade"), run("current"), run("downgrade", "base")] == ["none", HEAD, HEAD, "none"]
