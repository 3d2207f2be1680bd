"""Documents on their way in: one transaction writes documents, generations, tasks and their job."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import asyncpg

from ingestor.adapters.postgres.collections import resolve
from ingestor.adapters.postgres.database import Connection, Database
from ingestor.adapters.postgres.generations import lock_documents, notify, refresh_attributes, supersede
from ingestor.domain.ids import new_id
from ingestor.domain.incoming import Incoming, Known, Novelty, novelty
from ingestor.domain.intake import Accepted, ContentGone
from ingestor.domain.tasks import Stage

HAS_CONTENT = """
SELECT FROM library.document d
    LEFT JOIN library.document_generation v ON v.document_id = d.document_id AND v.generation = d.visible_generation
WHERE d.organisation_id = $1 AND d.collection_id = $2 AND d.identity = $3 AND d.deleted_time IS NULL
    AND (v.content_sha256 = $4 OR (d.content_sha256 = $4 AND d.state = 'PROCESSING'))
"""
INSERT_MISSING = """
INSERT INTO library.document (document_id, organisation_id, collection_id, identity, external_id, name, uri, metadata, state)
SELECT n.document_id, $1, $2, n.identity, n.external_id, coalesce(nullif(n.name, ''), n.external_id), n.uri, coalesce(n.metadata, '{}'),
    'PROCESSING'
FROM unnest($3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::jsonb[])
    AS n(document_id, identity, external_id, name, uri, metadata)
ON CONFLICT (collection_id, identity) WHERE deleted_time IS NULL DO NOTHING
"""
IDS_OF = """
SELECT document_id FROM library.document WHERE collection_id = $1 AND identity = ANY($2::text[]) AND deleted_time IS NULL
"""
READ_KNOWN = """
SELECT d.document_id, d.identity, d.name, d.uri, d.metadata, d.state, d.content_sha256, d.latest_generation, d.visible_generation,
    coalesce(v.content_sha256, '') AS visible_sha256,
    (
        SELECT t.job_id FROM library.task t
        WHERE t.document_id = d.document_id AND t.generation = d.content_generation AND t.stage <> 'PURGE'
            AND t.state IN ('QUEUED', 'RUNNING')
        LIMIT 1
    ) AS job_in_work
FROM library.document d
    LEFT JOIN library.document_generation v ON v.document_id = d.document_id AND v.generation = d.visible_generation
WHERE d.document_id = ANY($1::text[]) AND d.deleted_time IS NULL
"""
# Name and metadata count at once, also for content that searches see already; the index follows (`refresh_attributes`). What is not given
# stays as it was.
DESCRIBE = """
UPDATE library.document d
SET name = coalesce(nullif(n.name, ''), d.name), uri = coalesce(nullif(n.uri, ''), d.uri),
    metadata = coalesce(n.metadata, d.metadata), update_time = now(),
    attributes_version = d.attributes_version + (n.metadata IS NOT NULL AND n.metadata <> d.metadata)::int
FROM unnest($1::text[], $2::text[], $3::text[], $4::jsonb[]) AS n(document_id, name, uri, metadata)
WHERE d.document_id = n.document_id
"""
RENEW_CONTENT = """
UPDATE library.document d
SET latest_generation = n.generation, content_generation = n.generation, content_sha256 = n.content_sha256, size_bytes = n.size_bytes,
    state = 'PROCESSING', reason = '', message = '', type = CASE WHEN d.visible_generation = 0 THEN n.type ELSE d.type END
FROM unnest($1::text[], $2::bigint[], $3::text[], $4::bigint[], $5::text[]) AS n(document_id, generation, content_sha256, size_bytes, type)
WHERE d.document_id = n.document_id
"""
# The bytes that searches see came in again after others that failed or were not ready: they are the newest content now.
RESTORE_VISIBLE = """
UPDATE library.document d
SET content_generation = d.visible_generation, content_sha256 = v.content_sha256, size_bytes = v.size_bytes, state = 'READY', reason = '',
    message = ''
FROM library.document_generation v
WHERE d.document_id = ANY($1::text[]) AND v.document_id = d.document_id AND v.generation = d.visible_generation
"""
# What was on its way meanwhile is newer than the visible generation, so no publishing would ever sweep it away.
PURGE_OVERTAKEN = """
INSERT INTO library.task (organisation_id, document_id, generation, stage, state, weight)
SELECT d.organisation_id, d.document_id, d.latest_generation + 1, 'PURGE', 'QUEUED', 1
FROM library.document d WHERE d.document_id = ANY($1::text[])
"""
INSERT_JOB = "INSERT INTO library.job (job_id, organisation_id, collection_id, kind) VALUES ($1, $2, $3, 'INGEST')"
INSERT_TASKS = """
INSERT INTO library.task (organisation_id, job_id, document_id, generation, stage, state, weight, size_bytes)
SELECT $1, $2, n.document_id, n.generation, n.stage, 'QUEUED', n.weight, n.weight
FROM unnest($3::text[], $4::bigint[], $5::text[], $6::bigint[]) WITH ORDINALITY AS n(document_id, generation, stage, weight, position)
ORDER BY n.position
"""
INSERT_ENDED_TASKS = """
INSERT INTO library.task (organisation_id, job_id, document_id, generation, stage, state, weight, end_time)
SELECT $1, $2, n.document_id, n.generation, 'PUBLISH', 'SUCCEEDED', 0, now()
FROM unnest($3::text[], $4::bigint[]) AS n(document_id, generation)
"""
INSERT_GENERATIONS = """
INSERT INTO library.document_generation (organisation_id, state, document_id, generation, content_sha256, size_bytes, object_key,
    inline_text, source_url, declared_media_type, type, title)
SELECT $1, 'PROCESSING', n.*
FROM unnest($2::text[], $3::bigint[], $4::text[], $5::bigint[], $6::text[], $7::text[], $8::text[], $9::text[], $10::text[], $11::text[])
    AS n
"""


@dataclass(frozen=True, slots=True)
class _Arrival:
    """An incoming document beside what the library knows of it."""

    incoming: Incoming
    row: Any
    novelty: Novelty

    @property
    def document_id(self) -> str:
        return str(self.row["document_id"])

    @property
    def generation(self) -> int:
        """The generation that new content gets."""
        return int(self.row["latest_generation"]) + 1

    @property
    def redescribed(self) -> bool:
        incoming, row = self.incoming, self.row
        changed = incoming.metadata is not None and incoming.metadata != row["metadata"]
        return changed or (incoming.name or row["name"], incoming.uri or row["uri"]) != (row["name"], row["uri"])


class PostgresIntake:
    """An `IntakeStore`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def collection_id(self, organisation_id: str, collection: str) -> str:
        async with self._database.connection() as connection:
            return await resolve(connection, organisation_id, collection)

    async def has_content(self, organisation_id: str, collection_id: str, identity: str, content_sha256: str) -> bool:
        async with self._database.connection() as connection:
            return await connection.fetchrow(HAS_CONTENT, organisation_id, collection_id, identity, content_sha256) is not None

    async def accept(self, organisation_id: str, collection_id: str, incoming: Sequence[Incoming]) -> Accepted:
        async def work(connection: Connection) -> Accepted:
            arrivals = await _arrivals(connection, organisation_id, collection_id, incoming)
            job_id = _job_that_covers(arrivals)
            if job_id is None:
                job_id = new_id()
                await connection.execute(INSERT_JOB, job_id, organisation_id, collection_id)
                await _write(connection, organisation_id, job_id, arrivals)
            unchanged = sum(arrival.novelty is Novelty.UNCHANGED for arrival in arrivals)
            return Accepted(tuple(arrival.document_id for arrival in arrivals), job_id, unchanged)

        try:
            return await self._database.run(work)
        except asyncpg.ForeignKeyViolationError as error:
            raise ContentGone from error


async def take_in(connection: Connection, organisation_id: str, collection_id: str, incoming: Sequence[Incoming], job_id: str) -> None:
    """Take documents in with a job that is there already, in its caller's transaction.

    Raises:
        AppError: COLLECTION_NOT_FOUND when it was deleted meanwhile.
        asyncpg.ForeignKeyViolationError: an object is no longer there.
    """
    await _write(connection, organisation_id, job_id, await _arrivals(connection, organisation_id, collection_id, incoming))


async def _arrivals(connection: Connection, organisation_id: str, collection_id: str, incoming: Sequence[Incoming]) -> list[_Arrival]:
    """The documents, described as they came and locked for the rest of the transaction."""
    await resolve(connection, organisation_id, collection_id, lock="FOR SHARE")
    ids = {one.identity: new_id() for one in incoming}
    known: dict[str, Any] = {}
    # A document that somebody deletes while we wait for its row is made anew.
    while missing := [one for one in incoming if one.identity not in known]:
        await _insert_missing(connection, organisation_id, collection_id, missing, ids)
        document_ids = [row["document_id"] for row in await connection.fetch(IDS_OF, collection_id, list(ids))]
        await lock_documents(connection, document_ids)
        known = {row["identity"]: row for row in await connection.fetch(READ_KNOWN, document_ids)}
    arrivals = [_Arrival(one, known[one.identity], novelty(_known(known[one.identity]), one)) for one in incoming]
    await _describe(connection, [arrival for arrival in arrivals if arrival.redescribed])
    return arrivals


async def _insert_missing(
    connection: Connection, organisation_id: str, collection_id: str, incoming: Sequence[Incoming], ids: Mapping[str, str]
) -> None:
    # By identity, so that two batches that share documents wait for each other instead of for ever.
    ordered = sorted(incoming, key=lambda one: one.identity)
    rows = [(ids[one.identity], one.identity, one.external_id, one.name, one.uri, one.metadata) for one in ordered]
    await connection.execute(INSERT_MISSING, organisation_id, collection_id, *_columns(rows, 6))


def _known(row: Any) -> Known:
    return Known(content_sha256=row["content_sha256"], visible_sha256=row["visible_sha256"], job_in_work=row["job_in_work"])


def _job_that_covers(arrivals: Sequence[_Arrival]) -> str | None:
    """The job in work when all that came in is in it already: the caller sent the same thing twice."""
    jobs = {arrival.row["job_in_work"] if arrival.novelty is Novelty.IN_WORK else None for arrival in arrivals}
    return jobs.pop() if len(jobs) == 1 else None


async def _describe(connection: Connection, arrivals: Sequence[_Arrival]) -> None:
    rows = [(arrival.document_id, arrival.incoming.name, arrival.incoming.uri, arrival.incoming.metadata) for arrival in arrivals]
    await connection.execute(DESCRIBE, *_columns(rows, 4))


async def _write(connection: Connection, organisation_id: str, job_id: str, arrivals: Sequence[_Arrival]) -> None:
    unchanged = [arrival for arrival in arrivals if arrival.novelty is Novelty.UNCHANGED]
    await _keep(connection, organisation_id, job_id, unchanged)
    # Content that another job has in work is begun anew with the rest, so that one job covers what came in together.
    await _begin(connection, organisation_id, job_id, [arrival for arrival in arrivals if arrival.novelty is not Novelty.UNCHANGED])


async def _keep(connection: Connection, organisation_id: str, job_id: str, arrivals: Sequence[_Arrival]) -> None:
    restored = [arrival.document_id for arrival in arrivals if arrival.row["state"] != "READY"]
    if restored:
        await supersede(connection, restored, "NEWER_CONTENT")
        await connection.execute(RESTORE_VISIBLE, restored)
        await connection.execute(PURGE_OVERTAKEN, restored)
        await notify(connection, stages=[Stage.PURGE])
    refreshed = await refresh_attributes(connection, [arrival.document_id for arrival in arrivals], job_id=job_id)
    ended = [(arrival.document_id, arrival.row["visible_generation"]) for arrival in arrivals if arrival.document_id not in refreshed]
    await connection.execute(INSERT_ENDED_TASKS, organisation_id, job_id, *_columns(ended, 2))


async def _begin(connection: Connection, organisation_id: str, job_id: str, arrivals: Sequence[_Arrival]) -> None:
    if not arrivals:
        return
    await supersede(connection, [arrival.document_id for arrival in arrivals], "NEWER_CONTENT")
    contents = [
        (arrival.document_id, arrival.generation, one.content_sha256, one.size_bytes, one.type)
        for arrival in arrivals
        for one in (arrival.incoming,)
    ]
    await connection.execute(RENEW_CONTENT, *_columns(contents, 5))
    generations = [
        (
            arrival.document_id, arrival.generation, one.content_sha256, one.size_bytes, one.object_key, one.inline_text, one.source_url,
            one.declared_media_type, one.type, one.title,
        )
        for arrival in arrivals
        for one in (arrival.incoming,)
    ]  # fmt: skip
    await connection.execute(INSERT_GENERATIONS, organisation_id, *_columns(generations, 10))
    tasks = [
        (arrival.document_id, arrival.generation, arrival.incoming.first_stage, max(1, arrival.incoming.size_bytes)) for arrival in arrivals
    ]
    await connection.execute(INSERT_TASKS, organisation_id, job_id, *_columns(tasks, 4))
    await notify(connection, stages={arrival.incoming.first_stage for arrival in arrivals})


def _columns(rows: Iterable[tuple[Any, ...]], count: int) -> list[list[Any]]:
    """The columns of ``rows``, for ``unnest``."""
    columns: list[list[Any]] = [[] for _ in range(count)]
    for row in rows:
        for column, value in zip(columns, row, strict=True):
            column.append(value)
    return columns
