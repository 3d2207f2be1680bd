"""What the account store leaves in Postgres."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from urllib.parse import urlsplit

import asyncpg
import pytest

from gateway.adapters.accounts import PostgresAccounts
from gateway.adapters.database import open_pool
from gateway.domain.accounts import Role
from gateway.domain.api_keys import new_key
from gateway.migrations import FOLDER, HEAD, SCHEMA, UPGRADE_COMMAND
from shared.errors import AppError
from shared.migrations import Migrations


@pytest.fixture
async def url(database_url: str) -> str:
    await Migrations(SCHEMA, FOLDER).upgrade(database_url)
    return database_url


@pytest.fixture
async def store(url: str) -> AsyncIterator[PostgresAccounts]:
    async with open_pool(url, 4) as pool:
        yield PostgresAccounts(pool)


async def one(url: str, statement: str) -> object:
    connection = await asyncpg.connect(url)
    try:
        return await connection.fetchval(statement)
    finally:
        await connection.close()


async def test_the_use_of_a_key_is_noted_once_a_minute(store: PostgresAccounts, url: str) -> None:
    key = new_key()
    await store.create_first_organisation("default", key)
    last_used = "SELECT last_used_time FROM accounts.api_key"
    assert await one(url, last_used) is None
    assert await store.use_key(key.prefix) is not None
    first = await one(url, last_used)
    assert first is not None
    await store.use_key(key.prefix)
    assert await one(url, last_used) == first
    await one(url, "UPDATE accounts.api_key SET last_used_time = now() - interval '61 seconds'")
    await store.use_key(key.prefix)
    assert await one(url, "SELECT last_used_time > now() - interval '50 seconds' FROM accounts.api_key") is True


async def test_of_many_first_organisations_at_once_one_is_made(store: PostgresAccounts, url: str) -> None:
    made = await asyncio.gather(*(store.create_first_organisation("default", new_key()) for _ in range(8)))
    assert sum(organisation is not None for organisation in made) == 1
    assert await one(url, "SELECT count(*) FROM accounts.api_key WHERE role = 'operator'") == 1


async def test_an_organisation_and_its_key_are_made_together_or_not_at_all(store: PostgresAccounts, url: str) -> None:
    key = new_key()
    organisation, api_key = await store.create_organisation("acme", key)
    assert (api_key.organisation_id, api_key.role) == (organisation.organisation_id, Role.ADMIN)
    with pytest.raises(asyncpg.UniqueViolationError):
        await store.create_organisation("umbra", key)
    assert await one(url, "SELECT count(*) FROM accounts.organisation") == 1


async def test_a_database_that_goes_away_is_unavailable_and_its_return_is_noticed(store: PostgresAccounts, url: str) -> None:
    key = new_key()
    await store.create_first_organisation("default", key)
    name = urlsplit(url).path.removeprefix("/")
    other = await asyncpg.connect(url.replace(f"/{name}?", "/postgres?"))
    await other.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
    await other.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1", name)
    with pytest.raises(AppError) as raised:
        await store.use_key(key.prefix)
    assert (raised.value.reason, raised.value.retry_after_seconds) == ("ACCOUNT_STORE_UNAVAILABLE", 1.0)
    await other.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")
    await other.close()
    assert await store.use_key(key.prefix) is not None


async def test_an_old_schema_is_refused_and_a_newer_one_is_not(store: PostgresAccounts, url: str) -> None:
    await store.require_schema(HEAD, UPGRADE_COMMAND)
    with pytest.raises(AppError) as raised:
        await store.require_schema("9999", UPGRADE_COMMAND)
    assert raised.value.reason == "DATABASE_SCHEMA_OUTDATED"
    assert UPGRADE_COMMAND in raised.value.message
    await one(url, "UPDATE accounts.alembic_version SET version_num = '9999'")
    await store.require_schema(HEAD, UPGRADE_COMMAND)
