"""Connections to Postgres: pooled, bounded in time, and with its errors turned into ours."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeAlias, TypeVar

import asyncpg
from asyncpg.pool import PoolConnectionProxy

from ingestor.errors import nul_character, schema_outdated
from shared.errors import too_busy, unavailable
from shared.postgres import Pool, SessionlessConnection, opened, unless_cancelled

Connection: TypeAlias = "PoolConnectionProxy[asyncpg.Record]"
Result = TypeVar("Result")

APPLICATION = "lectern-ingestor"
STATEMENT_SECONDS = 60
LOCK_SECONDS = 20
ACQUIRE_SECONDS = 20
CONNECT_SECONDS = 10
IDLE_SECONDS = 20.0
_DEADLOCK_ATTEMPTS = 5
_JSONB_VERSION = b"\x01"

_LOST = (
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    asyncpg.OperatorInterventionError,
    asyncpg.InvalidCatalogNameError,
    asyncpg.ObjectNotInPrerequisiteStateError,
    OSError,
)
_BUSY = (asyncpg.TooManyConnectionsError, asyncpg.QueryCanceledError, asyncpg.LockNotAvailableError, asyncio.TimeoutError)
_NUL = (asyncpg.CharacterNotInRepertoireError, asyncpg.UntranslatableCharacterError)


class Database:
    """Hands out connections and transactions."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        """A connection from the pool.

        Raises:
            AppError: DATABASE_UNAVAILABLE, DATABASE_BUSY or NUL_CHARACTER, for what happens inside as well.
        """
        try:
            async with self._pool.acquire(timeout=ACQUIRE_SECONDS) as connection:
                yield connection
        except _BUSY as error:
            raise unless_cancelled(too_busy("database", retry_after_seconds=1)) from error
        except _LOST as error:
            raise unless_cancelled(unavailable("database")) from error
        except _NUL as error:
            raise nul_character() from error

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Connection]:
        """The same inside a transaction, which commits when the block ends."""
        async with self.connection() as connection, connection.transaction():
            yield connection

    async def run(self, work: Callable[[Connection], Awaitable[Result]]) -> Result:
        """Run ``work`` in a transaction of its own, again from the start when it was chosen to break a deadlock."""
        for attempt in range(1, _DEADLOCK_ATTEMPTS + 1):
            try:
                async with self.transaction() as connection:
                    return await work(connection)
            except (asyncpg.DeadlockDetectedError, asyncpg.SerializationError) as error:
                if attempt == _DEADLOCK_ATTEMPTS:
                    raise too_busy("database", retry_after_seconds=1) from error
        raise AssertionError

    async def check_schema(self, schema: str, head: str, upgrade_command: str) -> None:
        """Raise unless the database has version ``head`` of ``schema`` or a newer one.

        Raises:
            AppError: DATABASE_SCHEMA_OUTDATED, or what `connection` raises.
        """
        async with self.connection() as connection:
            known = await connection.fetchval("SELECT to_regclass($1)", f"{schema}.alembic_version")
            found = await connection.fetchval(f"SELECT version_num FROM {schema}.alembic_version") if known else None
        if found is None or found < head:
            raise schema_outdated(found, head, upgrade_command)


@asynccontextmanager
async def open_database(database_url: str, *, max_connections: int, idle_seconds: float = IDLE_SECONDS) -> AsyncIterator[Database]:
    """A `Database` whose pool connects when it is first used, so that it may be opened before the server is there.

    Args:
        database_url: DSN.
        max_connections: most of the pool.
        idle_seconds: a transaction in which nothing happens for so long loses its connection and its locks: its process is frozen, or
            cut off.
    """
    pool = asyncpg.create_pool(
        database_url,
        connection_class=SessionlessConnection,
        min_size=0,
        max_size=max_connections,
        timeout=CONNECT_SECONDS,
        command_timeout=STATEMENT_SECONDS + 5,
        max_inactive_connection_lifetime=300,
        server_settings={
            "application_name": APPLICATION,
            "statement_timeout": f"{STATEMENT_SECONDS}s",
            "lock_timeout": f"{LOCK_SECONDS}s",
            "idle_in_transaction_session_timeout": f"{round(idle_seconds * 1000)}ms",
        },
        init=_prepare,
    )
    async with opened(pool):
        yield Database(pool)


async def _prepare(connection: Any) -> None:
    # Binary, as the arrays and rows that hold such values are.
    await connection.set_type_codec("jsonb", schema="pg_catalog", encoder=_to_jsonb, decoder=_from_jsonb, format="binary")


def _to_jsonb(value: Any) -> bytes:
    return _JSONB_VERSION + json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def _from_jsonb(value: bytes) -> Any:
    return json.loads(value[1:])
