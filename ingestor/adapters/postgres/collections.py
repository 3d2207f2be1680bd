"""Collections in Postgres."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import asyncpg

from ingestor.adapters.postgres.database import Connection, Database
from ingestor.adapters.postgres.purges import queue_purge
from ingestor.domain.collections import Collection, CollectionChange, CollectionDeletion, NewCollection
from ingestor.errors import collection_exists
from shared.errors import not_found

RESOLVE = """
SELECT collection_id FROM library.collection
WHERE organisation_id = $1 AND deleted_time IS NULL AND (collection_id = $2 OR name = $2)
"""
INSERT = """
INSERT INTO library.collection (collection_id, organisation_id, name, description, metadata, passage_tokens)
VALUES ($2, $1, $3, $4, $5, $6)
"""
_COLUMNS = "c.collection_id, c.name, c.description, c.metadata, c.passage_tokens, c.create_time, c.update_time"
_LIVING = "WHERE c.organisation_id = $1 AND c.deleted_time IS NULL"
SELECT = f"""
SELECT {_COLUMNS}, coalesce(d.documents, 0) AS document_count, coalesce(d.passages, 0) AS passage_count
FROM library.collection c
LEFT JOIN LATERAL (
    SELECT count(*) AS documents, sum(passage_count) AS passages
    FROM library.document WHERE collection_id = c.collection_id AND deleted_time IS NULL
) d ON true
{_LIVING}
"""
SELECT_UNCOUNTED = f"SELECT {_COLUMNS}, 0 AS document_count, 0 AS passage_count FROM library.collection c {_LIVING}"
SELECT_ONE = SELECT + " AND c.collection_id = $2"
_PAGE = """
AND (cardinality($2::text[]) = 0 OR c.collection_id = ANY($2) OR c.name = ANY($2)) AND ($3::text IS NULL OR c.name > $3)
ORDER BY c.name LIMIT $4
"""
UPDATE = """
UPDATE library.collection
SET name = coalesce($3, name), description = coalesce($4, description), metadata = coalesce($5, metadata),
    passage_tokens = coalesce($6, passage_tokens), update_time = now()
WHERE organisation_id = $1 AND collection_id = $2
"""
TOMBSTONE = "UPDATE library.collection SET deleted_time = now() WHERE organisation_id = $1 AND collection_id = $2"
LIST_DOCUMENTS = """
SELECT document_id FROM library.document WHERE organisation_id = $1 AND collection_id = $2 AND deleted_time IS NULL
"""
REMOVE_EMPTY = "DELETE FROM library.collection WHERE organisation_id = $1 AND collection_id = $2"


async def resolve(connection: Connection, organisation_id: str, collection: str, *, lock: str = "") -> str:
    """The id of the collection with this id or name, its row locked as ``lock`` says (``FOR SHARE``: it cannot be deleted meanwhile).

    Raises:
        AppError: COLLECTION_NOT_FOUND.
    """
    collection_id: str | None = await connection.fetchval(RESOLVE + lock, organisation_id, collection)
    if collection_id is None:
        raise not_found("collection", collection)
    return collection_id


class PostgresCollections:
    """A `CollectionStore`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def resolve(self, organisation_id: str, collection: str) -> str:
        """The id of the collection with this id or name."""
        async with self._database.connection() as connection:
            return await resolve(connection, organisation_id, collection)

    async def create(self, organisation_id: str, collection_id: str, new: NewCollection) -> Collection:
        try:
            async with self._database.transaction() as connection:
                values = (new.name, new.description, new.metadata, new.passage_tokens)
                await connection.execute(INSERT, organisation_id, collection_id, *values)
                return _collection(await connection.fetchrow(SELECT_ONE, organisation_id, collection_id))
        except asyncpg.UniqueViolationError as error:
            raise collection_exists(new.name) from error

    async def get(self, organisation_id: str, collection: str) -> Collection:
        async with self._database.connection() as connection:
            collection_id = await resolve(connection, organisation_id, collection)
            row = await connection.fetchrow(SELECT_ONE, organisation_id, collection_id)
        if row is None:
            raise not_found("collection", collection)
        return _collection(row)

    async def page(
        self, organisation_id: str, *, only: Sequence[str], after_name: str | None, limit: int, counted: bool
    ) -> list[Collection]:
        statement = (SELECT if counted else SELECT_UNCOUNTED) + _PAGE
        async with self._database.connection() as connection:
            rows = await connection.fetch(statement, organisation_id, list(only), after_name, limit)
        return [_collection(row) for row in rows]

    async def change(self, organisation_id: str, collection: str, change: CollectionChange) -> Collection:
        try:
            async with self._database.transaction() as connection:
                collection_id = await resolve(connection, organisation_id, collection, lock="FOR UPDATE")
                values = (change.name, change.description, change.metadata, change.passage_tokens)
                await connection.execute(UPDATE, organisation_id, collection_id, *values)
                return _collection(await connection.fetchrow(SELECT_ONE, organisation_id, collection_id))
        except asyncpg.UniqueViolationError as error:
            raise collection_exists(change.name or "") from error

    async def delete(self, organisation_id: str, collection: str, job_id: str) -> CollectionDeletion:
        async def work(connection: Connection) -> CollectionDeletion:
            collection_id = await resolve(connection, organisation_id, collection, lock="FOR UPDATE")
            await connection.execute(TOMBSTONE, organisation_id, collection_id)
            documents = [row["document_id"] for row in await connection.fetch(LIST_DOCUMENTS, organisation_id, collection_id)]
            count = await queue_purge(connection, organisation_id, collection_id, documents, job_id)
            if not documents:
                await connection.execute(REMOVE_EMPTY, organisation_id, collection_id)
            return CollectionDeletion(count, job_id)

        return await self._database.run(work)


def _collection(row: Any) -> Collection:
    return Collection(**row)
