"""What FETCH reads and writes in Postgres."""

from __future__ import annotations

from collections.abc import Sequence

import asyncpg

from ingestor.adapters.postgres.database import Connection, Database
from ingestor.adapters.postgres.failures import fail_held
from ingestor.adapters.postgres.generations import lock_documents, notify, refresh_attributes
from ingestor.adapters.postgres.intake import RESTORE_VISIBLE, take_in
from ingestor.domain.incoming import DocumentHeader
from ingestor.domain.intake import ContentGone
from ingestor.domain.pipeline.fetch import FetchedContent, Target
from ingestor.domain.tasks import Claim, Failure, Stage

TARGETS = """
SELECT t.task_id, d.collection_id, d.external_id, d.name, d.metadata, g.declared_media_type, g.source_url, d.uri
FROM library.task t
    JOIN library.document d ON d.document_id = t.document_id
    JOIN library.document_generation g ON g.document_id = t.document_id AND g.generation = t.generation
WHERE t.lease_token = $1 AND t.state = 'RUNNING'
ORDER BY t.task_id
"""
IS_VISIBLE = """
SELECT FROM library.document d
    JOIN library.document_generation v ON v.document_id = d.document_id AND v.generation = d.visible_generation
WHERE d.document_id = $1 AND d.deleted_time IS NULL AND v.content_sha256 = $2
"""
END = """
UPDATE library.task SET state = 'SUCCEEDED', stage = 'PUBLISH', end_time = now(), lease_until = NULL
WHERE task_id = $1 AND lease_token = $2 AND state = 'RUNNING'
RETURNING job_id
"""
COLLECTION_OF = "SELECT collection_id FROM library.document WHERE document_id = $1"
# Nothing was written of it, and no purge would ever come by: the visible generation is older.
FORGET = "DELETE FROM library.document_generation WHERE document_id = $1 AND generation = $2"
ADVANCE = """
UPDATE library.task
SET stage = $3, state = 'QUEUED', weight = $4, size_bytes = $4, deliveries = 0, lease_token = NULL, lease_until = NULL
WHERE task_id = $1 AND lease_token = $2 AND state = 'RUNNING'
RETURNING job_id
"""
STORE = """
WITH stored AS (
    UPDATE library.document_generation
    SET content_sha256 = $3, size_bytes = $4, object_key = $5, declared_media_type = $6, type = $7, expected_passages = $8
    WHERE document_id = $1 AND generation = $2
)
UPDATE library.document SET content_sha256 = $3, size_bytes = $4, type = CASE WHEN visible_generation = 0 THEN $7 ELSE type END
WHERE document_id = $1 AND content_generation = $2
"""


class PostgresFetchStore:
    """A `FetchStore`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def targets(self, claim: Claim) -> list[Target]:
        tasks = {task.task_id: task for task in claim.tasks}
        async with self._database.connection() as connection:
            rows = await connection.fetch(TARGETS, claim.token)
        # Without metadata of its own, an archive leaves its documents theirs.
        return [
            Target(
                task=tasks[row["task_id"]],
                header=DocumentHeader(
                    collection=row["collection_id"],
                    external_id=row["external_id"],
                    name=row["name"],
                    metadata=row["metadata"] or None,
                    declared_media_type=row["declared_media_type"],
                    url=row["source_url"],
                    uri=row["uri"],
                ),
            )
            for row in rows
        ]

    async def store_fetched(self, claim: Claim, content: FetchedContent) -> None:
        async def work(connection: Connection) -> None:
            await lock_documents(connection, [content.task.document_id])
            known = await connection.fetchrow(IS_VISIBLE, content.task.document_id, content.content_sha256)
            job_id = await (_pass_on if known is None else _end_unchanged)(connection, claim, content)
            if job_id is not None and content.members is not None:
                collection_id = await connection.fetchval(COLLECTION_OF, content.task.document_id)
                await take_in(connection, claim.organisation_id, collection_id, content.members, job_id)

        try:
            await self._database.run(work)
        except asyncpg.ForeignKeyViolationError as error:
            raise ContentGone from error

    async def fail(self, claim: Claim, failures: Sequence[Failure]) -> None:
        await fail_held(self._database, claim, failures)


async def _pass_on(connection: Connection, claim: Claim, content: FetchedContent) -> str | None:
    """The job, if the task was still held. Of an archive nothing but its place is indexed: its files are documents of their own."""
    task, archive = content.task, content.members is not None
    stage, weight = (Stage.INDEX, 1) if archive else (Stage.PARSE, max(1, content.size_bytes))
    job_id: str | None = await connection.fetchval(ADVANCE, task.task_id, claim.token, stage, weight)
    if job_id is not None:
        values = (content.content_sha256, content.size_bytes, content.object_key, content.media_type, content.type, 0 if archive else None)
        await connection.execute(STORE, task.document_id, task.generation, *values)
        await notify(connection, stages=[stage], jobs=[job_id])
    return job_id


async def _end_unchanged(connection: Connection, claim: Claim, content: FetchedContent) -> str | None:
    """The job, if the task was still held."""
    task = content.task
    job_id: str | None = await connection.fetchval(END, task.task_id, claim.token)
    if job_id is not None:
        await connection.execute(RESTORE_VISIBLE, [task.document_id])
        await connection.execute(FORGET, task.document_id, task.generation)
        await refresh_attributes(connection, [task.document_id], job_id=None)
        await notify(connection, jobs=[job_id])
    return job_id
