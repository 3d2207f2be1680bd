"""Jobs in Postgres: their numbers are counted from their tasks each time."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import structlog

from ingestor.adapters.postgres.database import Connection, Database
from ingestor.adapters.postgres.generations import end_tasks, lock_documents, notify
from ingestor.domain.jobs import (
    Job,
    JobDocument,
    JobFilter,
    JobKind,
    JobPosition,
    StageCount,
    StepTime,
    TaskFailure,
    TaskState,
    steps_of,
)
from ingestor.domain.tasks import Stage, Step
from shared.errors import not_found

log = structlog.get_logger()
MAX_FAILURES = 100

# What counts as written of a task: all of it once it has ended, its share of vectors before. Parsing counts for nothing, because it runs
# ahead of the rest.
_WRITTEN = "least(1, (embedded_count + reused_count) / greatest(weight, 1)::float8) * (stage IN ('INDEX', 'PUBLISH'))::int"
_OPEN = "state IN ('QUEUED', 'RUNNING')"
_BEGUN = "start_time IS NOT NULL AND (j.retry_time IS NULL OR end_time IS NULL OR end_time >= j.retry_time)"
_COUNTED = f"""
SELECT j.job_id, j.collection_id, j.kind, j.create_time, t.*
FROM chosen j CROSS JOIN LATERAL (
    SELECT count(*) AS total_count,
        count(*) FILTER (WHERE NOT {_OPEN}) AS done_count,
        count(*) FILTER (WHERE state = 'QUEUED' AND start_time IS NULL) AS untouched_count,
        coalesce(sum(size_bytes * (1 - {_WRITTEN})) FILTER (WHERE {_OPEN}), 0) AS remaining_bytes,
        coalesce(sum(CASE WHEN {_OPEN} THEN size_bytes * {_WRITTEN} ELSE size_bytes END) FILTER (WHERE {_BEGUN}), 0) AS worked_bytes,
        count(*) FILTER (WHERE state IN ('FAILED', 'QUARANTINED')) AS failed_count,
        count(*) FILTER (WHERE state = 'CANCELLED') AS cancelled_count,
        coalesce(sum(embedded_count), 0) AS embedded_count,
        coalesce(sum(reused_count), 0) AS reused_count,
        coalesce(sum(embedded_count + reused_count), 0) AS passage_count,
        min(array_position(ARRAY['FETCH', 'PARSE', 'INDEX', 'PUBLISH', 'PURGE'], stage)) FILTER (WHERE {_OPEN}) AS stage_position,
        now() - min(greatest(start_time, j.retry_time)) AS elapsed,
        max(end_time) AS last_end_time
    FROM library.task WHERE job_id = j.job_id
) t
"""
SELECT_ONE = f"WITH chosen AS (SELECT * FROM library.job WHERE organisation_id = $1 AND job_id = $2) {_COUNTED}"
# The states that `ingestor.domain.jobs.Job.state` tells apart, each by a few probes of one index.
_HAS = "EXISTS (SELECT FROM library.task t WHERE t.job_id = j.job_id AND t.state"
_UNFINISHED = f"{_HAS} IN ('QUEUED', 'RUNNING'))"
_TOUCHED = f"({_HAS} <> 'QUEUED') OR {_HAS} = 'QUEUED' AND t.start_time IS NOT NULL))"
_IS = f"""CASE $6::text
    WHEN 'QUEUED' THEN {_UNFINISHED} AND NOT {_TOUCHED}
    WHEN 'RUNNING' THEN {_UNFINISHED} AND {_TOUCHED}
    WHEN 'CANCELLED' THEN NOT {_UNFINISHED} AND {_HAS} = 'CANCELLED')
    WHEN 'FAILED' THEN NOT {_UNFINISHED} AND NOT {_HAS} = 'CANCELLED') AND {_HAS} IN ('FAILED', 'QUARANTINED'))
    WHEN 'SUCCEEDED' THEN NOT {_UNFINISHED} AND NOT {_HAS} IN ('CANCELLED', 'FAILED', 'QUARANTINED'))
    ELSE true
END"""
SELECT_PAGE = f"""
WITH chosen AS (
    SELECT * FROM library.job j
    WHERE j.organisation_id = $1 AND ($2::text IS NULL OR j.collection_id = $2)
        AND ($3::timestamptz IS NULL OR (j.create_time, j.job_id) < ($3, $4)) AND ($7::text IS NULL OR j.kind = $7) AND {_IS}
    ORDER BY j.create_time DESC, j.job_id DESC LIMIT $5
) {_COUNTED}
ORDER BY j.create_time DESC, j.job_id DESC
"""
STAGES = """
SELECT job_id, stage, count(*) FILTER (WHERE state = 'QUEUED') AS waiting, count(*) FILTER (WHERE state = 'RUNNING') AS running,
    count(*) FILTER (WHERE state = 'SUCCEEDED') AS succeeded, count(*) FILTER (WHERE state IN ('FAILED', 'QUARANTINED')) AS failed
FROM library.task WHERE job_id = ANY($1::text[]) GROUP BY job_id, stage
"""
STEPS = "SELECT job_id, step, work_seconds, begin_time, end_time FROM library.job_step WHERE job_id = ANY($1::text[])"
DOCUMENTS = """
SELECT t.task_id, t.document_id, coalesce(d.name, '') AS document_name, coalesce(d.external_id, '') AS external_id, t.state, t.stage,
    t.reason, t.message, t.embedded_count, t.reused_count, t.start_time, t.end_time
FROM library.task t LEFT JOIN library.document d ON d.document_id = t.document_id AND d.deleted_time IS NULL
WHERE t.organisation_id = $1 AND t.job_id = $2 AND ($3::text IS NULL OR t.state = $3) AND t.task_id > $4
ORDER BY t.task_id LIMIT $5
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
    reason = '', message = '', embedded_count = 0, reused_count = 0, start_time = NULL, end_time = NULL
FROM unnest($1::bigint[], $2::bigint[], $3::text[]) AS r(task_id, next, stage) WHERE t.task_id = r.task_id
"""
REQUEUE_PURGES = """
UPDATE library.task
SET state = 'QUEUED', deliveries = 0, not_before = now(), lease_token = NULL, lease_until = NULL, reason = '', message = '',
    start_time = NULL, end_time = NULL
WHERE job_id = $1 AND state IN ('FAILED', 'QUARANTINED') AND stage = 'PURGE'
"""


# Whether another ingestor is pruning already.
PRUNE_LOCK = "SELECT pg_try_advisory_xact_lock(x'6c656374657270'::bigint)"
# What still has something to do stays, and so does a purge that did not come to its end: its job is how it is retried.
PRUNE = f"""
DELETE FROM library.job WHERE job_id IN (
    SELECT j.job_id FROM library.job j
    WHERE j.create_time < now() - make_interval(secs => $1) AND NOT EXISTS (
        SELECT FROM library.task t
        WHERE t.job_id = j.job_id AND ({_OPEN} OR t.end_time > now() - make_interval(secs => $1) OR t.lease_until > now()
            OR (t.stage = 'PURGE' AND t.state <> 'SUCCEEDED'))
    )
    ORDER BY j.create_time LIMIT $2 FOR UPDATE SKIP LOCKED
)
"""
PRUNED_AT_ONCE = 20
RETRIED = "UPDATE library.job SET retry_time = now() WHERE job_id = $1"


class PostgresJobs:
    """A `JobStore`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def get(self, organisation_id: str, job_id: str) -> Job:
        async with self._database.connection() as connection:
            rows = await connection.fetch(SELECT_ONE, organisation_id, job_id)
            jobs = await _read(connection, organisation_id, rows)
        if not jobs:
            raise not_found("job", job_id)
        return jobs[0]

    async def page(self, organisation_id: str, *, only: JobFilter, before: JobPosition | None, limit: int) -> list[Job]:
        position = (before.create_time, before.job_id) if before else (None, None)
        async with self._database.connection() as connection:
            rows = await connection.fetch(SELECT_PAGE, organisation_id, only.collection_id, *position, limit, only.state, only.kind)
            return await _read(connection, organisation_id, rows)

    async def documents(
        self, organisation_id: str, job_id: str, *, state: TaskState | None, after_task: int, limit: int
    ) -> list[JobDocument]:
        async with self._database.connection() as connection:
            if await connection.fetchrow(EXISTS, organisation_id, job_id) is None:
                raise not_found("job", job_id)
            rows = await connection.fetch(DOCUMENTS, organisation_id, job_id, state, after_task, limit)
        return [JobDocument(**{**row, "state": TaskState(row["state"]), "stage": Stage(row["stage"])}) for row in rows]

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
            await connection.execute(RETRIED, job_id)
            await notify(connection, stages=Stage, jobs=[job_id])

        await self._database.run(work)

    async def prune(self, keep_seconds: float) -> None:
        """Forget jobs, with their tasks, that ended longer ago than ``keep_seconds``; what became of their documents stays known."""

        async def work(connection: Connection) -> int:
            if not await connection.fetchval(PRUNE_LOCK):
                return 0
            return int((await connection.execute(PRUNE, keep_seconds, PRUNED_AT_ONCE)).removeprefix("DELETE "))

        pruned = total = await self._database.run(work)
        while pruned == PRUNED_AT_ONCE:
            pruned = await self._database.run(work)
            total += pruned
        if total:
            log.info("jobs_pruned", count=total)


async def _lock(connection: Connection, organisation_id: str, job_id: str) -> None:
    if await connection.fetchrow(EXISTS, organisation_id, job_id) is None:
        raise not_found("job", job_id)
    await lock_documents(connection, {row["document_id"] for row in await connection.fetch(DOCUMENTS_OF, job_id)})


async def _begin_again(connection: Connection, rows: list[Any]) -> None:
    columns = [[row[name] for row in rows] for name in ("document_id", "generation", "next")]
    for statement in (FORGET_PASSAGES, FORGET_PAGES, RENUMBER, RESTATE):
        await connection.execute(statement, *columns)
    await connection.execute(REQUEUE, *([row[name] for row in rows] for name in ("task_id", "next", "stage")))


async def _read(connection: Connection, organisation_id: str, rows: list[Any]) -> list[Job]:
    ids = [row["job_id"] for row in rows]
    failed = [row["job_id"] for row in rows if row["failed_count"]]
    failures = await connection.fetch(FAILURES, organisation_id, failed, MAX_FAILURES) if failed else []
    tables = [_by_job(table) for table in (failures, await connection.fetch(STAGES, ids), await connection.fetch(STEPS, ids))]
    return [_job(row, *(table.get(row["job_id"], []) for table in tables)) for row in rows]


def _by_job(rows: Iterable[Any]) -> dict[str, list[dict[str, Any]]]:
    """Each job's rows, without the column that says so."""
    found: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        values = dict(row)
        found.setdefault(values.pop("job_id"), []).append(values)
    return found


def _job(row: Any, failures: list[dict[str, Any]], stages: list[dict[str, Any]], steps: list[dict[str, Any]]) -> Job:
    values = dict(row)
    position = values.pop("stage_position")
    values["kind"] = JobKind(values["kind"])
    counts = [StageCount(**{**count, "stage": Stage(count["stage"])}) for count in stages]
    times = [StepTime(**{**time, "step": Step(time["step"])}) for time in steps]
    return Job(
        **values,
        stage=list(Stage)[position - 1] if position else None,
        failures=tuple(TaskFailure(**failure) for failure in failures),
        steps=steps_of(counts, times),
    )
