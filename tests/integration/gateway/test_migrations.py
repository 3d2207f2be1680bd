from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import asyncpg
import pytest

import shared.migrations
from gateway.migrations import FOLDER, HEAD, SCHEMA
from shared.migrations import Migrations

COLUMNS = """
    SELECT table_name, column_name, data_type, is_nullable, column_default FROM information_schema.columns
    WHERE table_schema = 'accounts' AND table_name <> 'alembic_version' ORDER BY 1, 2
"""
MIGRATIONS = Migrations(SCHEMA, FOLDER)


async def fetch(url: str, statement: str) -> list[tuple[Any, ...]]:
    connection = await asyncpg.connect(url)
    try:
        return [tuple(row.values()) for row in await connection.fetch(statement)]
    finally:
        await connection.close()


def test_the_version_that_the_gateway_asks_for_is_the_newest_there_is() -> None:
    assert MIGRATIONS.head() == HEAD


async def test_the_schema_goes_up_down_and_up_again(database_url: str) -> None:
    assert await MIGRATIONS.current(database_url) is None
    assert await MIGRATIONS.upgrade(database_url) == HEAD
    first = await fetch(database_url, COLUMNS)
    assert {table for table, *_ in first} >= {"api_key", "assistant", "chat", "folder", "idempotent_request", "message", "organisation"}
    assert await MIGRATIONS.downgrade(database_url, "base") is None
    assert await fetch(database_url, COLUMNS) == []
    assert await MIGRATIONS.upgrade(database_url) == HEAD
    assert await fetch(database_url, COLUMNS) == first


async def test_a_filled_database_keeps_its_rows_when_it_is_upgraded_again(database_url: str) -> None:
    await MIGRATIONS.upgrade(database_url)
    await fetch(database_url, "INSERT INTO accounts.organisation (organisation_id, name) VALUES ('o', 'acme') RETURNING 1")
    await MIGRATIONS.upgrade(database_url)
    assert await fetch(database_url, "SELECT name FROM accounts.organisation") == [("acme",)]


FILLED = """
    INSERT INTO accounts.organisation (organisation_id, name) VALUES ('o', 'acme');
    INSERT INTO accounts.folder (folder_id, organisation_id, user_id, name) VALUES ('f', 'o', 'u', 'papers');
    INSERT INTO accounts.chat (chat_id, organisation_id, user_id, folder_id) VALUES ('c', 'o', 'u', 'f');
    INSERT INTO accounts.message (message_id, organisation_id, user_id, chat_id, role, state)
    VALUES ('q', 'o', 'u', 'c', 'user', 'COMPLETE');
"""


async def test_chats_come_to_a_filled_database_and_go_from_it_with_what_they_hold(database_url: str) -> None:
    await MIGRATIONS.upgrade(database_url, "0003")
    await fetch(database_url, "INSERT INTO accounts.organisation (organisation_id, name) VALUES ('before', 'older') RETURNING 1")
    await MIGRATIONS.upgrade(database_url, "0004")
    connection = await asyncpg.connect(database_url)
    await connection.execute(FILLED)
    await connection.close()
    assert await MIGRATIONS.downgrade(database_url, "0003") == "0003"
    assert await fetch(database_url, "SELECT name FROM accounts.organisation ORDER BY name") == [("acme",), ("older",)]
    await MIGRATIONS.upgrade(database_url)
    assert await fetch(database_url, "SELECT count(*) FROM accounts.chat") == [(0,)]


async def test_a_migration_that_cannot_get_its_lock_gives_up_and_changes_nothing(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await MIGRATIONS.upgrade(database_url)
    monkeypatch.setattr(shared.migrations, "LOCK_TIMEOUT", "100ms")
    holder = await asyncpg.connect(database_url)
    async with holder.transaction():
        await holder.execute("LOCK TABLE accounts.api_key IN ACCESS SHARE MODE")
        with pytest.raises(asyncpg.LockNotAvailableError):
            await MIGRATIONS.downgrade(database_url, "base")
    await holder.close()
    assert await MIGRATIONS.current(database_url) == HEAD


def test_the_command_says_what_the_schema_is_at(database_url: str) -> None:
    environment = os.environ | {"LECTERN_INTERNAL_KEY": "k" * 32, "LECTERN_GATEWAY_DATABASE_URL": database_url}

    def migrate(*arguments: str) -> str:
        command = [sys.executable, "-m", "gateway.migrations", *arguments]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=60).stdout.strip()

    assert [migrate("upgrade"), migrate("current"), migrate("downgrade", "base")] == [HEAD, HEAD, "none"]
