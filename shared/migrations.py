"""Runs a schema's migrations over asyncpg: Alembic orders and renders them as SQL, one transaction applies them.

The owner keeps `migrations/versions/` and an `env.py` that only configures Alembic to write SQL (`ingestor/migrations/env.py`).
"""

from __future__ import annotations

import argparse
import asyncio
import io
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import asyncpg
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory

BASE = "base"
HEAD = "head"
# A migration that cannot have its lock soon gives up rather than queue every query behind itself.
LOCK_TIMEOUT = "5s"
STATEMENT_TIMEOUT = "10min"

_Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"


class Migrations:
    """The versions of one schema."""

    def __init__(self, schema: str, folder: Path) -> None:
        """Know the migrations in ``folder``, which hold SQL for ``schema`` alone."""
        self.schema = schema
        self._folder = folder

    def head(self) -> str:
        """The newest revision that this code knows, which is the one it works with."""
        head = ScriptDirectory.from_config(self._config(io.StringIO())).get_current_head()
        assert head is not None, "there is at least one migration"
        return head

    async def current(self, database_url: str) -> str | None:
        """The revision that the database has; None when it has none."""
        connection = await asyncpg.connect(database_url)
        try:
            return await self._current(connection)
        finally:
            await connection.close()

    async def upgrade(self, database_url: str, revision: str = HEAD) -> str | None:
        """Bring the schema up to ``revision``, all steps or none; the revision that it then has."""
        return await self._migrate(database_url, command.upgrade, revision)

    async def downgrade(self, database_url: str, revision: str) -> str | None:
        """Take the schema back to ``revision`` (`BASE`: to nothing), all steps or none; the revision that it then has."""
        return await self._migrate(database_url, command.downgrade, revision)

    async def _migrate(self, database_url: str, direction: Callable[..., None], revision: str) -> str | None:
        connection = await asyncpg.connect(database_url)
        try:
            async with connection.transaction():
                await connection.execute(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'; SET LOCAL statement_timeout = '{STATEMENT_TIMEOUT}'")
                await connection.execute("SELECT pg_advisory_xact_lock(hashtext($1))", f"lectern migrations of {self.schema}")
                await connection.execute(f"CREATE SCHEMA IF NOT EXISTS {self.schema}")
                found = await self._current(connection)
                if found is None:
                    # Alembic creates the table of versions in a script that begins at the base, also where a downgrade left it empty.
                    await connection.execute(f"DROP TABLE IF EXISTS {self.schema}.alembic_version")
                if script := self._render(direction, found or BASE, revision):
                    await connection.execute(script)
                return await self._current(connection)
        finally:
            await connection.close()

    def _render(self, direction: Callable[..., None], found: str, revision: str) -> str:
        if found == (self.head() if revision == HEAD else revision):
            return ""
        output = io.StringIO()
        direction(self._config(output), f"{found}:{revision}", sql=True)
        return output.getvalue()

    async def _current(self, connection: _Connection) -> str | None:
        table = f"{self.schema}.alembic_version"
        if await connection.fetchval("SELECT to_regclass($1)", table) is None:
            return None
        revision: str | None = await connection.fetchval(f"SELECT version_num FROM {table}")  # noqa: S608  # a constant of the owner's
        return revision

    def _config(self, output: io.StringIO) -> Config:
        config = Config(output_buffer=output)
        config.set_main_option("script_location", str(self._folder))
        config.attributes["schema"] = self.schema
        return config


def run_command(migrations: Migrations, database_url: Callable[[], str], arguments: list[str] | None = None) -> int:
    """``upgrade [REVISION] | downgrade REVISION | current``, for a ``__main__``; the process's exit status."""
    parser = argparse.ArgumentParser(description=f"Migrates the schema {migrations.schema!r}.")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("upgrade", help="bring the schema up to a revision").add_argument("revision", nargs="?", default=HEAD)
    commands.add_parser("downgrade", help="take the schema back to a revision").add_argument("revision", help="`base` for none")
    commands.add_parser("current", help="print the schema's revision")
    parsed = parser.parse_args(arguments)
    url = database_url()
    try:
        match parsed.command:
            case "upgrade":
                revision = asyncio.run(migrations.upgrade(url, parsed.revision))
            case "downgrade":
                revision = asyncio.run(migrations.downgrade(url, parsed.revision))
            case _:
                revision = asyncio.run(migrations.current(url))
    except (OSError, asyncpg.PostgresError) as error:
        sys.stderr.write(f"The database could not be migrated, and nothing was changed: {error}\n")
        return 1
    sys.stdout.write(f"{revision or 'none'}\n")
    return 0
