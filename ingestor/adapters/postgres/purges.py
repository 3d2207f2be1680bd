"""Deleting in Postgres: the tombstone that hides at once, and the purge that removes."""

from __future__ import annotations

from collections.abc import Sequence

from ingestor.adapters.postgres.database import Connection, Database
from ingestor.adapters.postgres.generations import lock_documents, notify, supersede
from ingestor.domain.pipeline.purge import RemoveFile
from ingestor.domain.tasks import Stage, Task

TOMBSTONE = """
UPDATE library.document SET deleted_time = now(), update_time = now()
WHERE organisation_id = $1 AND document_id = ANY($2::text[]) AND deleted_time IS NULL
RETURNING document_id
"""
INSERT_JOB = "INSERT INTO library.job (job_id, organisation_id, collection_id, kind) VALUES ($1, $2, $3, 'PURGE')"
INSERT_RECEIPTS = """
INSERT INTO library.deletion_receipt (document_id, organisation_id, job_id) SELECT unnest($1::text[]), $2, $3
"""
INSERT_TASKS = """
INSERT INTO library.task (organisation_id, job_id, document_id, generation, stage, state, weight)
SELECT $2, $3, unnest($1::text[]), 0, 'PURGE', 'QUEUED', 1
"""

PASSAGE_IDS = """
SELECT passage_id FROM library.passage
WHERE organisation_id = $1 AND document_id = $2 AND passage_id > $3 ORDER BY passage_id LIMIT $4
"""
NOTE = """
UPDATE library.task SET vector_count = greatest(vector_count, $3) WHERE task_id = $1 AND lease_token = $2 AND state = 'RUNNING'
"""
LOCK_MINE = "SELECT vector_count FROM library.task WHERE task_id = $1 AND lease_token = $2 AND state = 'RUNNING' FOR UPDATE"
# Those that are seen, or will be when the work on them ends.
KEPT = """
SELECT visible_generation AS generation FROM library.document WHERE document_id = $1 AND deleted_time IS NULL
UNION
SELECT generation FROM library.task WHERE document_id = $1 AND stage <> 'PURGE' AND state IN ('QUEUED', 'RUNNING')
"""
# Generation 0 stands for all: the document is deleted. Otherwise those before it that are not kept.
_PURGED = "($3::bigint = 0 OR (generation < $3 AND NOT generation = ANY($4::bigint[])))"
DELETE_PASSAGES = f"""
WITH removed AS (DELETE FROM library.passage WHERE organisation_id = $1 AND document_id = $2 AND {_PURGED} RETURNING 1)
SELECT count(*) FROM removed
"""
# Of a living document the newest content stays, even where it failed: it can be retried.
DELETE_GENERATIONS = f"""
DELETE FROM library.document_generation g USING library.document d
WHERE g.organisation_id = $1 AND g.document_id = $2 AND d.document_id = g.document_id AND {_PURGED}
    AND ($3::bigint = 0 OR g.generation <> d.content_generation)
RETURNING g.object_key
"""
# Nobody can begin to use an object while its row is locked; whoever tries waits, and then finds it gone.
LOCK_OBJECTS = """
SELECT object_key FROM library.stored_object WHERE organisation_id = $1 AND object_key = ANY($2::text[]) ORDER BY object_key FOR UPDATE
"""
UNUSED_OBJECTS = """
SELECT o.object_key FROM library.stored_object o
WHERE o.organisation_id = $1 AND o.object_key = ANY($2::text[]) AND NOT EXISTS (
    SELECT FROM library.document_generation g WHERE g.organisation_id = o.organisation_id AND g.object_key = o.object_key
)
"""
DELETE_OBJECT = "DELETE FROM library.stored_object WHERE organisation_id = $1 AND object_key = $2"
DELETE_DOCUMENT = """
DELETE FROM library.document WHERE organisation_id = $1 AND document_id = $2 AND deleted_time IS NOT NULL RETURNING collection_id
"""
# The last document of a deleted collection takes its row along; the lock lets one of two that are purged at once see that it is the last.
LOCK_COLLECTION = """
SELECT FROM library.collection WHERE organisation_id = $1 AND collection_id = $2 AND deleted_time IS NOT NULL FOR UPDATE
"""
DELETE_COLLECTION = """
DELETE FROM library.collection c WHERE c.organisation_id = $1 AND c.collection_id = $2 AND c.deleted_time IS NOT NULL
    AND NOT EXISTS (SELECT FROM library.document d WHERE d.collection_id = c.collection_id)
"""
# There is a receipt when the document was deleted; replaced generations of a living one leave none.
COUNT = """
UPDATE library.deletion_receipt
SET passage_count = passage_count + $3, vector_count = vector_count + $4, file_count = file_count + $5,
    purge_verified_time = CASE WHEN $6 THEN now() END
WHERE organisation_id = $1 AND document_id = $2
"""
FINISH = """
UPDATE library.task SET state = 'SUCCEEDED', end_time = now(), lease_until = NULL WHERE task_id = $1 RETURNING job_id
"""
EXPIRED_OBJECTS = """
SELECT o.organisation_id, o.object_key FROM library.stored_object o
WHERE o.keep_until < now() AND NOT EXISTS (
    SELECT FROM library.document_generation g WHERE g.organisation_id = o.organisation_id AND g.object_key = o.object_key
)
LIMIT 1000
"""


async def queue_purge(connection: Connection, organisation_id: str, collection_id: str, document_ids: Sequence[str], job_id: str) -> int:
    """Hide documents from now on, stop the work on them and queue their purge as the job ``job_id``; how many there were."""
    await lock_documents(connection, document_ids)
    hidden = [row["document_id"] for row in await connection.fetch(TOMBSTONE, organisation_id, document_ids)]
    await connection.execute(INSERT_JOB, job_id, organisation_id, collection_id)
    await supersede(connection, hidden, "DOCUMENT_DELETED")
    await connection.execute(INSERT_RECEIPTS, hidden, organisation_id, job_id)
    await connection.execute(INSERT_TASKS, hidden, organisation_id, job_id)
    await notify(connection, stages=[Stage.PURGE])
    return len(hidden)


class PostgresPurges:
    """A `PurgeStore`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def passage_ids(self, organisation_id: str, document_id: str, *, after: str, limit: int) -> list[str]:
        async with self._database.connection() as connection:
            return [row["passage_id"] for row in await connection.fetch(PASSAGE_IDS, organisation_id, document_id, after, limit)]

    async def note(self, task: Task, token: str, *, vector_count: int) -> None:
        async with self._database.connection() as connection:
            await connection.execute(NOTE, task.task_id, token, vector_count)

    async def kept(self, task: Task) -> list[int]:
        async with self._database.connection() as connection:
            return [row["generation"] for row in await connection.fetch(KEPT, task.document_id)]

    async def finish(
        self, organisation_id: str, task: Task, token: str, *, kept: Sequence[int], vector_count: int, remove_file: RemoveFile
    ) -> bool:
        scope = (organisation_id, task.document_id, task.generation, kept)

        async def work(connection: Connection) -> bool:
            noted = await connection.fetchval(LOCK_MINE, task.task_id, token)
            if noted is None:
                return False
            passages = await connection.fetchval(DELETE_PASSAGES, *scope)
            keys = {row["object_key"] for row in await connection.fetch(DELETE_GENERATIONS, *scope)} - {None}
            files = await _remove_unused(connection, organisation_id, sorted(keys), remove_file)
            everything = task.generation == 0
            if everything:
                await _delete_document(connection, organisation_id, task.document_id)
            await connection.execute(COUNT, organisation_id, task.document_id, passages, max(noted, vector_count), files, everything)
            job_id = await connection.fetchval(FINISH, task.task_id)
            await notify(connection, jobs=[job_id] if job_id else [])
            return True

        return await self._database.run(work)

    async def remove_orphans(self, remove_file: RemoveFile) -> None:
        async with self._database.connection() as connection:
            expired = await connection.fetch(EXPIRED_OBJECTS)
        for row in expired:
            async with self._database.transaction() as connection:
                await _remove_unused(connection, row["organisation_id"], [row["object_key"]], remove_file)


async def _remove_unused(connection: Connection, organisation_id: str, keys: Sequence[str], remove_file: RemoveFile) -> int:
    await connection.execute(LOCK_OBJECTS, organisation_id, keys)
    unused = [row["object_key"] for row in await connection.fetch(UNUSED_OBJECTS, organisation_id, keys)]
    for key in unused:
        await remove_file(organisation_id, key)
        await connection.execute(DELETE_OBJECT, organisation_id, key)
    return len(unused)


async def _delete_document(connection: Connection, organisation_id: str, document_id: str) -> None:
    collection_id = await connection.fetchval(DELETE_DOCUMENT, organisation_id, document_id)
    if collection_id is not None:
        await connection.execute(LOCK_COLLECTION, organisation_id, collection_id)
        await connection.execute(DELETE_COLLECTION, organisation_id, collection_id)
