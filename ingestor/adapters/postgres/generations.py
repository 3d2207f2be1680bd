"""Statements over documents' generations and tasks that several stores share. Each runs in its caller's transaction.

Whoever changes a document's row and its tasks locks the rows of the documents first, in the order of their ids (`lock_documents`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from ingestor.adapters.postgres.database import Connection
from ingestor.adapters.postgres.notifications import JOB_CHANNEL, TASK_CHANNEL
from ingestor.domain.tasks import TAKEN_AWAY, Stage

LOCK_DOCUMENTS = """
SELECT document_id FROM library.document WHERE document_id = ANY($1::text[]) ORDER BY document_id FOR UPDATE
"""

# The worker that holds such a task notices at its next state change; its lease stays until then, and a purge waits for that.
SUPERSEDE = """
WITH overtaken AS (
    UPDATE library.task SET state = 'SUPERSEDED', reason = $2, end_time = now()
    WHERE document_id = ANY($1::text[]) AND stage <> 'PURGE' AND state IN ('QUEUED', 'RUNNING')
    RETURNING document_id, generation, job_id
), marked AS (
    UPDATE library.document_generation g SET state = 'SUPERSEDED'
    FROM overtaken o WHERE g.document_id = o.document_id AND g.generation = o.generation
)
SELECT DISTINCT job_id FROM overtaken WHERE job_id IS NOT NULL
"""

# Ends tasks, and says so on the documents whose newest content they carried. What they, and those that they had overtaken, may have
# written to the index is purged: nobody will see it, and a retry takes a new generation.
END_TASKS = """
WITH ended AS (
    UPDATE library.task t
    SET state = $2, reason = f.reason, message = f.message, end_time = now(),
        lease_until = CASE WHEN $3::text IS NULL THEN t.lease_until END
    FROM unnest($1::bigint[], $4::text[], $5::text[]) AS f(task_id, reason, message)
    WHERE t.task_id = f.task_id AND t.state IN ('QUEUED', 'RUNNING')
        AND ($3::text IS NULL OR (t.lease_token = $3 AND t.state = 'RUNNING'))
    RETURNING t.task_id, t.organisation_id, t.job_id, t.document_id, t.generation, t.stage, t.reason, t.message
), abandoned AS (
    INSERT INTO library.task (organisation_id, document_id, generation, stage, state, weight)
    SELECT e.organisation_id, e.document_id, e.generation + 1, 'PURGE', 'QUEUED', 1
    FROM ended e
    WHERE e.stage IN ('INDEX', 'PUBLISH') OR (e.stage <> 'PURGE' AND EXISTS (
        SELECT FROM library.document_generation s WHERE s.document_id = e.document_id AND s.state = 'SUPERSEDED'
    ))
), marked AS (
    UPDATE library.document_generation g SET state = $2
    FROM ended e WHERE g.document_id = e.document_id AND g.generation = e.generation AND e.stage <> 'PURGE'
), told AS (
    UPDATE library.document d SET state = $2, reason = e.reason, message = e.message, update_time = now()
    FROM ended e
    WHERE d.document_id = e.document_id AND d.content_generation = e.generation AND e.stage <> 'PURGE' AND d.deleted_time IS NULL
)
SELECT task_id, job_id, document_id FROM ended
"""

# A visible generation whose attributes are behind its document's is copied to a new one, which takes every vector over.
# Nothing to do while newer content is on its way: it will carry the attributes itself.
BEGIN_REFRESH = """
UPDATE library.document d SET latest_generation = d.latest_generation + 1
FROM library.document_generation v
WHERE d.document_id = ANY($1::text[]) AND d.deleted_time IS NULL
    AND v.document_id = d.document_id AND v.generation = d.visible_generation AND v.attributes_version <> d.attributes_version
    AND NOT EXISTS (
        SELECT FROM library.task t
        WHERE t.document_id = d.document_id AND t.stage <> 'PURGE' AND t.state IN ('QUEUED', 'RUNNING')
    )
RETURNING d.document_id, d.visible_generation AS old, d.latest_generation AS new
"""
# The same for documents of whose visible passages the index has lost some.
BEGIN_AGAIN = """
UPDATE library.document d SET latest_generation = d.latest_generation + 1
WHERE d.document_id = ANY($1::text[]) AND d.organisation_id = $2 AND d.deleted_time IS NULL AND d.visible_generation > 0
    AND NOT EXISTS (SELECT FROM library.task t WHERE t.document_id = d.document_id AND t.state IN ('QUEUED', 'RUNNING'))
RETURNING d.document_id, d.visible_generation AS old, d.latest_generation AS new
"""
_REFRESHED = "unnest($1::text[], $2::bigint[], $3::bigint[]) AS r(document_id, old, new)"
COPY_GENERATION = f"""
INSERT INTO library.document_generation (
    document_id, generation, organisation_id, state, content_sha256, size_bytes, object_key, inline_text, source_url, declared_media_type,
    type, title, author, language, page_count, source_create_time, source_update_time, parser, chunker, expected_passages)
SELECT g.document_id, r.new, g.organisation_id, 'PROCESSING', g.content_sha256, g.size_bytes, g.object_key, g.inline_text, g.source_url,
    g.declared_media_type, g.type, g.title, g.author, g.language, g.page_count, g.source_create_time, g.source_update_time, g.parser,
    g.chunker, g.expected_passages
FROM {_REFRESHED} JOIN library.document_generation g ON g.document_id = r.document_id AND g.generation = r.old
"""
# The same hash as `ingestor.domain.ids.passage_id`.
COPY_PASSAGES = f"""
INSERT INTO library.passage (
    passage_id, organisation_id, document_id, generation, ordinal, text, context, text_hash, page, start_offset, end_offset, headings,
    anchor)
SELECT left(encode(sha256(convert_to(p.document_id || ':' || r.new || ':' || p.ordinal, 'UTF8')), 'hex'), 32),
    p.organisation_id, p.document_id, r.new, p.ordinal, p.text, p.context, p.text_hash, p.page, p.start_offset, p.end_offset, p.headings,
    p.anchor
FROM {_REFRESHED} JOIN library.passage p ON p.document_id = r.document_id AND p.generation = r.old
"""
COPY_PAGES = f"""
INSERT INTO library.page (document_id, generation, number, organisation_id, text)
SELECT p.document_id, r.new, p.number, p.organisation_id, p.text
FROM {_REFRESHED} JOIN library.page p ON p.document_id = r.document_id AND p.generation = r.old
"""
QUEUE_REFRESH = f"""
INSERT INTO library.task (organisation_id, job_id, document_id, generation, stage, state, weight, size_bytes)
SELECT g.organisation_id, $4::text, r.document_id, r.new, 'INDEX', 'QUEUED', g.expected_passages, greatest(1, g.size_bytes)
FROM {_REFRESHED} JOIN library.document_generation g ON g.document_id = r.document_id AND g.generation = r.old
"""

# What the index keeps of a passage to be compared by: its words, and which version of the attributes it was written with.
FINGERPRINT = "(encode(p.text_hash, 'hex') || '-' || g.attributes_version)"

NOTIFY = "SELECT pg_notify(channel, payload) FROM unnest($1::text[], $2::text[]) AS n(channel, payload)"


async def lock_documents(connection: Connection, document_ids: Iterable[str]) -> None:
    await connection.execute(LOCK_DOCUMENTS, list(document_ids))


async def supersede(connection: Connection, document_ids: Sequence[str], reason: str) -> None:
    """End the unfinished tasks of documents that newer content or a delete has overtaken."""
    jobs = await connection.fetch(SUPERSEDE, document_ids, reason)
    await notify(connection, jobs=[row["job_id"] for row in jobs], taken_away=bool(jobs))


async def end_tasks(
    connection: Connection,
    task_ids: Sequence[int],
    state: str,
    reasons: Sequence[str],
    messages: Sequence[str],
    *,
    token: str | None = None,
) -> list[Any]:
    """End tasks in ``state``; only those that ``token`` holds when it is given. Rows of task_id, job_id and document_id come back."""
    rows = await connection.fetch(END_TASKS, task_ids, state, token, reasons, messages)
    await refresh_attributes(connection, [row["document_id"] for row in rows], job_id=None)
    await notify(connection, stages=[Stage.PURGE], jobs={row["job_id"] for row in rows if row["job_id"]}, taken_away=token is None)
    return list(rows)


async def refresh_attributes(connection: Connection, document_ids: Sequence[str], *, job_id: str | None) -> set[str]:
    """Queue what brings changed metadata of visible documents to the index; the ids of the documents that needed it."""
    return set(await _copy_and_queue(connection, await connection.fetch(BEGIN_REFRESH, document_ids), job_id))


async def index_again(connection: Connection, organisation_id: str, document_ids: Sequence[str]) -> dict[str, int]:
    """Queue what writes the visible passages of documents to the index once more; the new generations, but for documents in work."""
    return await _copy_and_queue(connection, await connection.fetch(BEGIN_AGAIN, document_ids, organisation_id), job_id=None)


async def _copy_and_queue(connection: Connection, begun: Sequence[Any], job_id: str | None) -> dict[str, int]:
    """Copy visible generations to new ones and queue these; the new ones by document."""
    if not begun:
        return {}
    columns = [[row[name] for row in begun] for name in ("document_id", "old", "new")]
    for statement in (COPY_GENERATION, COPY_PASSAGES, COPY_PAGES):
        await connection.execute(statement, *columns)
    await connection.execute(QUEUE_REFRESH, *columns, job_id)
    await notify(connection, stages=[Stage.INDEX])
    return {row["document_id"]: row["new"] for row in begun}


async def notify(connection: Connection, *, stages: Iterable[Stage] = (), jobs: Iterable[str] = (), taken_away: bool = False) -> None:
    """When the transaction commits, wake workers of ``stages``, watchers of ``jobs``, and whoever may hold tasks that it ended."""
    signals = [(TASK_CHANNEL, stage.value) for stage in stages] + [(JOB_CHANNEL, job) for job in jobs]
    if taken_away:
        signals.append((TASK_CHANNEL, TAKEN_AWAY))
    if signals:
        await connection.fetch(NOTIFY, [channel for channel, _ in signals], [payload for _, payload in signals])
