"""Runs this schema's migrations over asyncpg: Alembic orders and renders them, one transaction applies them."""

from __future__ import annotations

import io
from pathlib import Path

import asyncpg
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory

SCHEMA = "accounts"
BASE = "base"
# A migration that cannot get its lock must give up before it queues all other work behind it.
LOCK_TIMEOUT = "5s"
STATEMENT_TIMEOUT = "5min"
_MIGRATION_LOCK = 0x6C656374_6D696772


class MigrationError(Exception):
    """The schema is not as wanted; the text says what to do."""


def head() -> str:
    """The newest revision that this code knows, which is the one it works with."""
    revision = ScriptDirectory.from_config(_config(io.StringIO())).get_current_head()
    assert revision is not None, "there is at least one migration"
    return revision


async def current(database_url: str) -> str | None:
    """The revision of the database's schema; None when it has none yet."""
    connection = await asyncpg.connect(database_url)
    try:
        return await _current(connection)
    finally:
        await connection.close()


async def require_head(database_url: str) -> None:
    """Make sure that the schema is the one that this code works with.

    Raises:
        MigrationError: it is older or newer.
    """
    found, wanted = await current(database_url), head()
    if found != wanted:
        raise MigrationError(
            f"The schema {SCHEMA!r} is at revision {found or 'none'}, and this gateway needs {wanted}. "
            "Run `python -m gateway.migrations upgrade`; if the database is newer, start the newer gateway.",
        )


async def upgrade(database_url: str, revision: str = "head") -> str | None:
    """Bring the schema up to ``revision``, all steps or none; the revision that it then has."""
    return await _migrate(database_url, command.upgrade, revision)


async def downgrade(database_url: str, revision: str) -> str | None:
    """Take the schema back to ``revision`` (``base``: to nothing), all steps or none; the revision that it then has."""
    return await _migrate(database_url, command.downgrade, revision)


async def _migrate(database_url: str, direction: object, revision: str) -> str | None:
    connection = await asyncpg.connect(database_url)
    try:
        async with connection.transaction():
            await connection.execute(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'; SET LOCAL statement_timeout = '{STATEMENT_TIMEOUT}'")
            await connection.execute("SELECT pg_advisory_xact_lock($1)", _MIGRATION_LOCK)
            await connection.execute(f"CREATE SCHEMA IF NOT EXISTS {SCHEMA}")
            found = await _current(connection)
            if found is None:
                # Alembic creates the table of versions in a script that begins at the base, also where a downgrade left it empty.
                await connection.execute(f"DROP TABLE IF EXISTS {SCHEMA}.alembic_version")
            if script := _render(direction, found or BASE, revision):
                await connection.execute(script)
            return await _current(connection)
    finally:
        await connection.close()


def _render(direction: object, found: str, revision: str) -> str:
    wanted = head() if revision == "head" else revision
    if found == wanted:
        return ""
    output = io.StringIO()
    assert callable(direction)
    direction(_config(output), f"{found}:{wanted}", sql=True)
    return output.getvalue()


async def _current(connection: asyncpg.Connection[asyncpg.Record]) -> str | None:
    if await connection.fetchval("SELECT to_regclass($1)", f"{SCHEMA}.alembic_version") is None:
        return None
    revision: str | None = await connection.fetchval(f"SELECT version_num FROM {SCHEMA}.alembic_version")  # noqa: S608  # a constant
    return revision


def _config(output: io.StringIO) -> Config:
    config = Config(output_buffer=output)
    config.set_main_option("script_location", str(Path(__file__).parent))
    return config
