"""Connections to the Postgres schema `accounts`: pooled, bounded in time, and with its failures turned into ours."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypeAlias

import asyncpg
import structlog

from shared.errors import AppError, unavailable
from shared.postgres import Pool, SessionlessConnection, opened, unless_cancelled

log = structlog.get_logger()
Connection: TypeAlias = "asyncpg.pool.PoolConnectionProxy[asyncpg.Record]"
_SECONDS = 10.0
# Whatever keeps a connection from being made, and what a connection says that breaks while it is used.
_UNREACHABLE = (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)
_BROKEN = (
    OSError,  # TimeoutError too
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,
)


def named_statements(file: str) -> Mapping[str, str]:
    """The statements of an SQL file of this folder, by the name that stands above each."""
    text = Path(__file__).with_name(file).read_text(encoding="utf-8")
    named = (block.partition("\n") for block in text.split("-- name: ")[1:])
    return {name.strip(): statement.strip() for name, _, statement in named}


@asynccontextmanager
async def open_pool(database_url: str, connections: int) -> AsyncIterator[Pool]:
    """A pool that connects when it is first used; its statements end within ten seconds."""
    pool = asyncpg.create_pool(
        database_url,
        connection_class=SessionlessConnection,
        min_size=0,
        max_size=connections,
        timeout=_SECONDS,
        command_timeout=_SECONDS,
        server_settings={"application_name": "lectern-gateway"},
    )
    async with opened(pool):
        yield pool


@asynccontextmanager
async def connection_of(pool: Pool) -> AsyncIterator[Connection]:
    """A connection from ``pool``.

    Raises:
        AppError: ACCOUNT_STORE_UNAVAILABLE, also for a connection that breaks while it is used.
    """
    try:
        connection = await pool.acquire(timeout=_SECONDS)
    except _UNREACHABLE as error:
        raise _unavailable(error) from error
    try:
        yield connection
    except _BROKEN as error:
        raise unless_cancelled(_unavailable(error)) from error
    finally:
        await pool.release(connection)


def _unavailable(error: Exception) -> AppError:
    log.warning("account_store_unavailable", error=type(error).__name__)
    return unavailable("account store")
