"""Reads what Postgres holds of an organisation."""

from __future__ import annotations

from typing import Any

from ingestor.adapters.postgres.database import Database

TABLES = ("document", "document_generation", "passage", "deletion_receipt", "stored_object")
ALL_OF = {
    **{table: f"SELECT * FROM library.{table} WHERE organisation_id = $1" for table in TABLES},  # noqa: S608  # names that stand above
    # A lease that has run out holds nothing.
    "task": "SELECT *, coalesce(lease_until > now(), false) AS leased FROM library.task WHERE organisation_id = $1",
}


async def tables(database: Database, organisation_id: str) -> dict[str, list[dict[str, Any]]]:
    """Every row of the organisation, by table."""
    async with database.connection() as connection:
        return {table: [dict(row) for row in await connection.fetch(statement, organisation_id)] for table, statement in ALL_OF.items()}
