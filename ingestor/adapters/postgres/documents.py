"""Documents in Postgres."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ingestor.adapters.postgres.database import Connection, Database
from ingestor.adapters.postgres.document_filters import condition as sql_condition
from ingestor.adapters.postgres.generations import lock_documents, refresh_attributes
from ingestor.adapters.postgres.purges import queue_purge
from ingestor.domain.document_filters import Filter
from ingestor.domain.documents import DeletionReceipt, Document, DocumentPosition, DocumentState, Page
from ingestor.domain.metadata import Metadata
from ingestor.errors import pages_too_large
from shared.errors import not_found

# Well below what one message may hold.
MAX_PAGES_BYTES = 12 * 1024 * 1024

_COLUMNS = """
    d.document_id, d.collection_id, d.external_id, d.name, d.uri, d.metadata, d.state, d.reason, d.message, d.size_bytes, d.content_sha256,
    d.visible_generation, d.type, d.title, d.author, d.language, d.page_count, d.passage_count, d.indexed_time, d.create_time, d.update_time
"""
SELECT = f"SELECT {_COLUMNS} FROM library.document d WHERE organisation_id = $1 AND deleted_time IS NULL"
SELECT_ONE = SELECT + " AND document_id = $2"
SELECT_PAGE = (
    SELECT
    + """
    AND collection_id = $2 AND ($3::text IS NULL OR state = $3)
    AND ($4::timestamptz IS NULL OR (create_time, document_id) > ($4, $5))
    ORDER BY create_time, document_id LIMIT $6
    """
)
SELECT_FILTERED = f"""
SELECT {_COLUMNS}
FROM library.document d
    JOIN library.collection c ON c.collection_id = d.collection_id AND c.deleted_time IS NULL
    LEFT JOIN library.document_generation g ON g.document_id = d.document_id AND g.generation = d.visible_generation
WHERE d.organisation_id = $1 AND d.deleted_time IS NULL AND (cardinality($2::text[]) = 0 OR d.collection_id = ANY($2))
    AND ($3::timestamptz IS NULL OR (d.create_time, d.document_id) > ($3, $4))
"""
PAGES_SIZE = """
SELECT coalesce(sum(octet_length(p.text)), 0) FROM library.page p JOIN library.document d USING (document_id)
WHERE d.organisation_id = $1 AND d.document_id = $2 AND d.deleted_time IS NULL AND p.generation = d.visible_generation
"""
PAGES = """
SELECT p.number, p.text FROM library.page p JOIN library.document d USING (document_id)
WHERE d.organisation_id = $1 AND d.document_id = $2 AND d.deleted_time IS NULL AND p.generation = d.visible_generation
ORDER BY p.number
"""
UPDATE = """
UPDATE library.document
SET name = coalesce($3, name), metadata = coalesce($4, metadata), update_time = now(),
    attributes_version = attributes_version + ($4::jsonb IS NOT NULL AND $4 <> metadata)::int
WHERE organisation_id = $1 AND document_id = $2 AND deleted_time IS NULL
"""
SELECT_RECEIPT = """
SELECT document_id, job_id, deleted_time, purge_verified_time, passage_count, vector_count, file_count
FROM library.deletion_receipt WHERE organisation_id = $1 AND document_id = $2
"""
COLLECTION_OF = """
SELECT collection_id FROM library.document WHERE organisation_id = $1 AND document_id = $2 AND deleted_time IS NULL FOR UPDATE
"""


class PostgresDocuments:
    """A `DocumentStore`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def get(self, organisation_id: str, document_id: str) -> Document:
        async with self._database.connection() as connection:
            return await _get(connection, organisation_id, document_id)

    async def pages(self, organisation_id: str, document_id: str) -> list[Page]:
        async with self._database.connection() as connection:
            if await connection.fetchval(PAGES_SIZE, organisation_id, document_id) > MAX_PAGES_BYTES:
                raise pages_too_large()
            rows = await connection.fetch(PAGES, organisation_id, document_id)
        return [Page(**row) for row in rows]

    async def page(
        self, organisation_id: str, collection_id: str, *, state: DocumentState | None, after: DocumentPosition | None, limit: int
    ) -> list[Document]:
        position = (after.create_time, after.document_id) if after else (None, None)
        async with self._database.connection() as connection:
            rows = await connection.fetch(SELECT_PAGE, organisation_id, collection_id, state, *position, limit)
        return [_document(row) for row in rows]

    async def filtered(
        self, organisation_id: str, condition: Filter | None, *, collection_ids: Sequence[str], after: DocumentPosition | None, limit: int
    ) -> list[Document]:
        position = (after.create_time, after.document_id) if after else (None, None)
        parameters: list[Any] = [organisation_id, list(collection_ids), *position, limit]
        satisfied = "" if condition is None else f"AND {sql_condition(condition, parameters)}"
        statement = f"{SELECT_FILTERED} {satisfied} ORDER BY d.create_time, d.document_id LIMIT $5"
        async with self._database.connection() as connection:
            rows = await connection.fetch(statement, *parameters)
        return [_document(row) for row in rows]

    async def change(self, organisation_id: str, document_id: str, *, name: str | None, metadata: Metadata | None) -> Document:
        async def work(connection: Connection) -> Document:
            await lock_documents(connection, [document_id])
            await connection.execute(UPDATE, organisation_id, document_id, name, metadata)
            changed = await _get(connection, organisation_id, document_id)
            await refresh_attributes(connection, [document_id], job_id=None)
            return changed

        return await self._database.run(work)

    async def delete(self, organisation_id: str, document_id: str, job_id: str) -> DeletionReceipt:
        async def work(connection: Connection) -> DeletionReceipt:
            collection_id = await connection.fetchval(COLLECTION_OF, organisation_id, document_id)
            if collection_id is not None:
                await queue_purge(connection, organisation_id, collection_id, [document_id], job_id)
            return await _receipt(connection, organisation_id, document_id)

        return await self._database.run(work)

    async def receipt(self, organisation_id: str, document_id: str) -> DeletionReceipt:
        async with self._database.connection() as connection:
            return await _receipt(connection, organisation_id, document_id)


async def _get(connection: Connection, organisation_id: str, document_id: str) -> Document:
    row = await connection.fetchrow(SELECT_ONE, organisation_id, document_id)
    if row is None:
        raise not_found("document", document_id)
    return _document(row)


async def _receipt(connection: Connection, organisation_id: str, document_id: str) -> DeletionReceipt:
    row = await connection.fetchrow(SELECT_RECEIPT, organisation_id, document_id)
    if row is None:
        raise not_found("document", document_id)
    return DeletionReceipt(**row)


def _document(row: Any) -> Document:
    return Document(**{**row, "state": DocumentState(row["state"])})
