"""Jobs in Postgres: their numbers are counted from their tasks each time."""

from __future__ import annotations

from typing import Any

from ingestor.adapters.postgres.database import Connection, Database
from ingestor.adapters.postgres.generations import end_tasks, lock_documents, notify
from ingestor.domain.jobs import Job, JobKind, JobPosition, TaskFailure
from ingestor.domain.tasks import Stage
from shared.errors import not_found

MAX_FAILURES = 100

_COUNTED = """
SELECT j.job_id, j.collection_id, j.kind, j.create_time, t.*
FROM chosen j CROSS JOIN LATERAL (
    SELECT count(*) AS total_count,
        count(*) FILTER (WHERE state NOT IN ('QUEUED', 'RUNNING')) AS done_count,
        count(*) FILTER (WHERE state = 'QUEUED' AND start_time IS NULL) AS untouched_count,
        count(*) FILTER (WHERE state NOT IN ('QUEUED', 'RUNNING') AND start_time IS NOT NULL) AS worked_count,
        count(*) FILTER (WHERE state IN ('FAILED', 'QUARANTINED')) AS failed_count,
        count(*) FILTER (WHERE state = 'CANCELLED') AS cancelled_count,
        coalesce(sum(embedded_count), 0) AS embedded_count,
        coalesce(sum(reused_count), 0) AS reused_count,
        coalesce(sum(embedded_count + reused_count), 0) AS passage_count,
        min(array_position(ARRAY['FETCH', 'PARSE', 'INDEX', 'PUBLISH', 'PURGE'], stage)) FILTER (WHERE state IN ('QUEUED', 'RUNNING'))
            AS stage_position,
        now() - min(start_time) AS elapsed,
        max(end_time) AS last_end_time
    FROM library.task WHERE job_id = j.job_id
) t
"""
SELECT_ONE = f"WITH chosen AS (SELECT * FROM library.job WHERE organisation_id = $1 AND job_id = $2) {_COUNTED}"
SELECT_PAGE = f"""
WITH chosen AS (
    SELECT * FROM library.job
    WHERE organisation_id = $1 AND ($2::text IS NULL OR collection_id = $2)
        AND ($3::timestamptz IS NULL OR (create_time, job_id) < ($3, $4))
    ORDER BY create_time DESC, job_id DESC LIMIT $5
) {_COUNTED}
ORDER BY j.create_time DESC, j.job_id DESC
"""
FAILURES = """
SELECT f.job_id, f.document_id, f.reason, f.message, coalesce(d.name, '') AS document_name, coalesce(d.external_id, '') AS external_id
FROM unnest($2::text[]) AS wanted(job_id) CROSS JOIN LATERAL (
    SELECT * FROM library.task WHERE job_id = wanted.job_id AND organisation_id = $1 AND state IN ('FAILED', 'QUARANTINED')
    ORDER BY task_id LIMIT $3
) f LEFT JOIN library.document d ON d.document_id = f.document_id AND d.deleted_time IS NULL
"""
EXISTS = "SELECT FROM library.job WHERE organisation_id = $1 AND job_id = $2"
DOCUMENTS_OF = "SELECT document_id FROM library.task WHERE job_id = $1"
UNFINISHED = "SELECT task_id FROM library.task WHERE job_id = $1 AND state IN ('QUEUED', 'RUNNING')"
# Only content that is still its document's newest: what was overtaken must not come back.
RETRYABLE = """
SELECT t.task_id, d.document_id, d.latest_generation + 1 AS next, t.generation,
    CASE WHEN g.object_key IS NULL AND g.inline_text IS NULL THEN 'FETCH' ELSE 'PARSE' END AS stage
FROM library.task t
    JOIN library.document d ON d.document_id = t.document_id AND d.deleted_time IS NULL AND d.content_generation = t.generation
    JOIN library.document_generation g ON g.document_id = t.document_id AND g.generation = t.generation
WHERE t.job_id = $1 AND t.state IN ('FAILED', 'QUARANTINED', 'CANCELLED') AND t.stage <> 'PURGE'
"""
_RETRIED = "unnest($1::text[], $2::bigint[], $3::bigint[]) AS r(document_id, generation, next)"
FORGET_PASSAGES = f"DELETE FROM library.passage p USING {_RETRIED} WHERE p.document_id = r.document_id AND p.generation = r.generation"
FORGET_PAGES = f"DELETE FROM library.page p USING {_RETRIED} WHERE p.document_id = r.document_id AND p.generation = r.generation"
# A new number, because what a worker of the first attempt still writes must not count for the second.
RENUMBER = f"""
UPDATE library.document_generation g SET generation = r.next, state = 'PROCESSING', attributes_version = 0
FROM {_RETRIED} WHERE g.document_id = r.document_id AND g.generation = r.generation
"""
RESTATE = f"""
UPDATE library.document d
SET latest_generation = r.next, content_generation = r.next, state = 'PROCESSING', reason = '', message = '', update_time = now()
FROM {_RETRIED} WHERE d.document_id = r.document_id
"""
REQUEUE = """
UPDATE library.task t
SET state = 'QUEUED', stage = r.stage, generation = r.next, deliveries = 0, not_before = now(), lease_token = NULL, lease_until = NULL,
    reason = '', message = '', embedded_count = 0, reused_count = 0, end_time = NULL
FROM unnest($1::bigint[], $2::bigint[], $3::text[]) AS r(task_id, next, stage) WHERE t.task_id = r.task_id
"""
REQUEUE_PURGES = """
UPDATE library.task
SET state = 'QUEUED', deliveries = 0, not_before = now(), lease_token = NULL, lease_until = NULL, reason = '', message = '', end_time = NULL
WHERE job_id = $1 AND state IN ('FAILED', 'QUARANTINED') AND stage = 'PURGE'
"""


class PostgresJobs:
    """A `JobStore`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def get(self, organisation_id: str, job_id: str) -> Job:
        async with self._database.connection() as connection:
            rows = await connection.fetch(SELECT_ONE, organisation_id, job_id)
            jobs = await _with_failures(connection, organisation_id, rows)
        if not jobs:
            raise not_found("job", job_id)
        return jobs[0]

    async def page(self, organisation_id: str, *, collection_id: str | None, before: JobPosition | None, limit: int) -> list[Job]:
        position = (before.create_time, before.job_id) if before else (None, None)
        async with self._database.connection() as connection:
            rows = await connection.fetch(SELECT_PAGE, organisation_id, collection_id, *position, limit)
            return await _with_failures(connection, organisation_id, rows)

    async def cancel(self, organisation_id: str, job_id: str) -> None:
        async def work(connection: Connection) -> None:
            await _lock(connection, organisation_id, job_id)
            unfinished = [row["task_id"] for row in await connection.fetch(UNFINISHED, job_id)]
            if not unfinished:
                return
            reasons = ["JOB_CANCELLED"] * len(unfinished)
            messages = ["The job was cancelled before this content became searchable. Retry the job to go on."] * len(unfinished)
            await end_tasks(connection, unfinished, "CANCELLED", reasons, messages)

        await self._database.run(work)

    async def retry(self, organisation_id: str, job_id: str) -> None:
        async def work(connection: Connection) -> None:
            await _lock(connection, organisation_id, job_id)
            rows = await connection.fetch(RETRYABLE, job_id)
            await _begin_again(connection, rows)
            await connection.execute(REQUEUE_PURGES, job_id)
            await notify(connection, stages=Stage, jobs=[job_id])

        await self._database.run(work)


async def _lock(connection: Connection, organisation_id: str, job_id: str) -> None:
    if await connection.fetchrow(EXISTS, organisation_id, job_id) is None:
        raise not_found("job", job_id)
    await lock_documents(connection, {row["document_id"] for row in await connection.fetch(DOCUMENTS_OF, job_id)})


async def _begin_again(connection: Connection, rows: list[Any]) -> None:
    columns = [[row[name] for row in rows] for name in ("document_id", "generation", "next")]
    for statement in (FORGET_PASSAGES, FORGET_PAGES, RENUMBER, RESTATE):
        await connection.execute(statement, *columns)
    await connection.execute(REQUEUE, *([row[name] for row in rows] for name in ("task_id", "next", "stage")))


async def _with_failures(connection: Connection, organisation_id: str, rows: list[Any]) -> list[Job]:
    failed = [row["job_id"] for row in rows if row["failed_count"]]
    failures: dict[str, list[TaskFailure]] = {}
    if failed:
        for row in await connection.fetch(FAILURES, organisation_id, failed, MAX_FAILURES):
            values = dict(row)
            failures.setdefault(values.pop("job_id"), []).append(TaskFailure(**values))
    return [_job(row, failures.get(row["job_id"], [])) for row in rows]


def _job(row: Any, failures: list[TaskFailure]) -> Job:
    values = dict(row)
    position = values.pop("stage_position")
    values["kind"] = JobKind(values["kind"])
    return Job(**values, stage=list(Stage)[position - 1] if position else None, failures=tuple(failures))
