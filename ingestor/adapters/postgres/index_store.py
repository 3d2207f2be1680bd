"""What INDEX and PUBLISH read and write in Postgres."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ingestor.adapters.postgres.database import Connection, Database
from ingestor.adapters.postgres.failures import fail_held
from ingestor.adapters.postgres.generations import FINGERPRINT, lock_documents, notify, refresh_attributes
from ingestor.adapters.postgres.steps import record_steps
from ingestor.domain.pipeline.index import Attributes, Position, Progress, StoredPassage
from ingestor.domain.tasks import Claim, Failure, Stage

# The version of the attributes is read and remembered in one statement; a change after it is noticed when the generation becomes visible.
# A task that comes back keeps the first version: what was written then is not written again.
BEGIN = """
UPDATE library.document_generation g
SET attributes_version = CASE WHEN g.attributes_version = 0 THEN d.attributes_version ELSE g.attributes_version END
FROM library.task t, library.document d
WHERE t.lease_token = $1 AND t.state = 'RUNNING' AND d.document_id = t.document_id
    AND g.document_id = t.document_id AND g.generation = t.generation
RETURNING t.task_id, d.collection_id, g.type, g.author, g.language, d.metadata,
    coalesce(g.source_create_time, d.create_time) AS create_time, coalesce(g.source_update_time, d.update_time) AS update_time
"""
_HELD_PASSAGES = """
FROM library.task t JOIN library.passage p ON p.document_id = t.document_id AND p.generation = t.generation
    AND p.ordinal > CASE WHEN t.task_id = $2 THEN $3 ELSE -1 END
"""
_ONWARD = "WHERE t.lease_token = $1 AND t.state = 'RUNNING' AND t.task_id >= $2 ORDER BY t.task_id, p.ordinal LIMIT $4"
PASSAGES = f"""
SELECT t.task_id, p.passage_id, p.document_id, p.generation, p.ordinal, p.text, p.context, {FINGERPRINT} AS fingerprint,
    (
        SELECT o.passage_id FROM library.passage o
        WHERE o.document_id = p.document_id AND o.generation = d.visible_generation AND o.text_hash = p.text_hash LIMIT 1
    ) AS take_vector_from
{_HELD_PASSAGES} JOIN library.document d ON d.document_id = t.document_id
    JOIN library.document_generation g ON g.document_id = t.document_id AND g.generation = t.generation
{_ONWARD}
"""
PASSAGE_IDS = f"SELECT t.task_id, p.ordinal, p.passage_id {_HELD_PASSAGES} {_ONWARD}"
ACCOUNT = """
WITH accounted AS (
    UPDATE library.task t SET embedded_count = t.embedded_count + n.embedded, reused_count = t.reused_count + n.reused
    FROM unnest($2::bigint[], $3::integer[], $4::integer[]) AS n(task_id, embedded, reused)
    WHERE t.task_id = n.task_id AND t.lease_token = $1 AND t.state = 'RUNNING'
    RETURNING t.job_id, t.document_id, t.generation
), marked AS (
    UPDATE library.document_generation g SET embedding_model = $5
    FROM accounted a WHERE g.document_id = a.document_id AND g.generation = a.generation
)
SELECT DISTINCT job_id FROM accounted WHERE job_id IS NOT NULL
"""
BEGIN_PUBLISHING = """
UPDATE library.task SET stage = 'PUBLISH' WHERE lease_token = $1 AND state = 'RUNNING' RETURNING job_id
"""
# The commit point. A generation counts only where the document is not deleted, nothing newer is visible, and the lease is still held.
# Texts that were run twice, because a worker died in between, count once.
PUBLISH = """
WITH mine AS (
    UPDATE library.task t
    SET state = 'SUCCEEDED', end_time = now(), lease_until = NULL,
        embedded_count = g.expected_passages - least(t.reused_count, g.expected_passages)
    FROM library.document_generation g
    WHERE t.lease_token = $1 AND t.state = 'RUNNING' AND t.stage = 'PUBLISH'
        AND g.document_id = t.document_id AND g.generation = t.generation
    RETURNING t.job_id, t.document_id, t.generation
), visible AS (
    UPDATE library.document_generation g SET state = 'READY', visible_time = now()
    FROM mine m WHERE g.document_id = m.document_id AND g.generation = m.generation
    RETURNING g.*
), published AS (
    UPDATE library.document d
    SET visible_generation = v.generation, type = v.type, title = v.title, author = v.author, language = v.language,
        page_count = v.page_count, passage_count = v.expected_passages, indexed_time = now(), update_time = now(),
        content_generation = CASE WHEN d.content_sha256 = v.content_sha256 THEN v.generation ELSE d.content_generation END,
        state = CASE WHEN d.content_sha256 = v.content_sha256 THEN 'READY' ELSE d.state END,
        reason = CASE WHEN d.content_sha256 = v.content_sha256 THEN '' ELSE d.reason END,
        message = CASE WHEN d.content_sha256 = v.content_sha256 THEN '' ELSE d.message END
    FROM visible v
    WHERE d.document_id = v.document_id AND d.deleted_time IS NULL AND d.visible_generation < v.generation
    RETURNING d.document_id, d.organisation_id, d.visible_generation
), replaced AS (
    INSERT INTO library.task (organisation_id, document_id, generation, stage, state, weight)
    SELECT p.organisation_id, p.document_id, p.visible_generation, 'PURGE', 'QUEUED', 1
    FROM published p WHERE p.visible_generation > 1
)
SELECT job_id, document_id, generation FROM mine
"""


class PostgresIndexStore:
    """An `IndexStore`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def begin_indexing(self, claim: Claim) -> Mapping[int, Attributes]:
        async with self._database.connection() as connection:
            rows = await connection.fetch(BEGIN, claim.token)
        return {
            row["task_id"]: Attributes(
                collection_id=row["collection_id"],
                type=row["type"],
                content_author=row["author"],
                content_language=row["language"],
                create_time=row["create_time"],
                update_time=row["update_time"],
                metadata=row["metadata"],
            )
            for row in rows
        }

    async def passages(self, claim: Claim, *, after: Position, limit: int) -> list[StoredPassage]:
        async with self._database.connection() as connection:
            rows = await connection.fetch(PASSAGES, claim.token, after.task_id, after.ordinal, limit)
        return [StoredPassage(**row) for row in rows]

    async def passage_ids(self, claim: Claim, *, after: Position, limit: int) -> list[tuple[Position, str]]:
        async with self._database.connection() as connection:
            rows = await connection.fetch(PASSAGE_IDS, claim.token, after.task_id, after.ordinal, limit)
        return [(Position(row["task_id"], row["ordinal"]), row["passage_id"]) for row in rows]

    async def account(self, claim: Claim, progress: Progress) -> None:
        ids = sorted(progress.embedded.keys() | progress.reused.keys())
        counts = ([progress.embedded[task_id] for task_id in ids], [progress.reused[task_id] for task_id in ids])

        async def work(connection: Connection) -> None:
            jobs = await connection.fetch(ACCOUNT, claim.token, ids, *counts, progress.model)
            await notify(connection, jobs=[row["job_id"] for row in jobs])

        await self._database.run(work)

    async def begin_publishing(self, claim: Claim) -> None:
        async def work(connection: Connection) -> None:
            rows = await connection.fetch(BEGIN_PUBLISHING, claim.token)
            await notify(connection, jobs={row["job_id"] for row in rows if row["job_id"]})

        await self._database.run(work)

    async def publish(self, claim: Claim) -> None:
        async def work(connection: Connection) -> None:
            await lock_documents(connection, {task.document_id for task in claim.tasks})
            rows = await connection.fetch(PUBLISH, claim.token)
            await record_steps(connection, claim)
            await refresh_attributes(connection, [row["document_id"] for row in rows], job_id=None)
            await notify(connection, stages=[Stage.PURGE], jobs={row["job_id"] for row in rows if row["job_id"]})

        await self._database.run(work)

    async def fail(self, claim: Claim, failures: Sequence[Failure]) -> None:
        await fail_held(self._database, claim, failures)
