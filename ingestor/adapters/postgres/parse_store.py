"""What PARSE reads and writes in Postgres."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice

from ingestor.adapters.postgres.database import Connection, Database
from ingestor.adapters.postgres.failures import fail_held
from ingestor.adapters.postgres.generations import notify
from ingestor.domain.pipeline.parse import ParsedContent, Source
from ingestor.domain.tasks import Claim, Failure, Stage

# Written with each generation, so that it can be told later which documents a better parser or chunker would treat differently.
PARSER_VERSION = "3"
CHUNKER_VERSION = "2"

SOURCES = """
SELECT t.task_id, d.name, g.declared_media_type, g.content_sha256, g.inline_text, g.title, c.passage_tokens
FROM library.task t
    JOIN library.document d ON d.document_id = t.document_id
    JOIN library.collection c ON c.collection_id = d.collection_id
    JOIN library.document_generation g ON g.document_id = t.document_id AND g.generation = t.generation
WHERE t.lease_token = $1 AND t.state = 'RUNNING'
ORDER BY t.task_id
"""
ADVANCE = """
UPDATE library.task t SET stage = 'INDEX', state = 'QUEUED', weight = n.weight, deliveries = 0, lease_token = NULL, lease_until = NULL
FROM unnest($2::bigint[], $3::bigint[]) AS n(task_id, weight)
WHERE t.task_id = n.task_id AND t.lease_token = $1 AND t.state = 'RUNNING'
RETURNING t.task_id, t.job_id
"""
DESCRIBE = """
UPDATE library.document_generation g
SET type = n.type, title = n.title, author = n.author, language = n.language, page_count = n.page_count,
    source_create_time = n.source_create_time, source_update_time = n.source_update_time, expected_passages = n.expected_passages,
    parser = $10, chunker = $11
FROM unnest($1::text[], $2::bigint[], $3::text[], $4::text[], $5::text[], $6::text[], $7::integer[], $8::timestamptz[], $9::timestamptz[],
        $12::integer[])
    AS n(document_id, generation, type, title, author, language, page_count, source_create_time, source_update_time, expected_passages)
WHERE g.document_id = n.document_id AND g.generation = n.generation
"""
# Whole statements, and no COPY: a process that freezes in the middle of a COPY holds its locks for as long as it is frozen, for while
# Postgres waits for the rest of the rows no time limit of its own applies. Rows are those of the tables, column by column.
INSERT_PASSAGES = "INSERT INTO library.passage SELECT * FROM unnest($1::library.passage[])"
INSERT_PAGES = "INSERT INTO library.page SELECT * FROM unnest($1::library.page[])"
ROWS_A_STATEMENT = 1000


class PostgresParseStore:
    """A `ParseStore`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def sources(self, claim: Claim) -> list[Source]:
        tasks = {task.task_id: task for task in claim.tasks}
        async with self._database.connection() as connection:
            rows = await connection.fetch(SOURCES, claim.token)
        return [
            Source(
                task=tasks[row["task_id"]],
                name=row["name"],
                declared_media_type=row["declared_media_type"],
                content_sha256=row["content_sha256"],
                inline_text=row["inline_text"],
                title=row["title"],
                passage_tokens=row["passage_tokens"],
            )
            for row in rows
        ]

    async def store_parsed(self, claim: Claim, contents: Sequence[ParsedContent]) -> None:
        async def work(connection: Connection) -> None:
            ids = [content.task.task_id for content in contents]
            weights = [max(1, len(content.passages)) for content in contents]
            passed = await connection.fetch(ADVANCE, claim.token, ids, weights)
            held = {row["task_id"] for row in passed}
            await _write(connection, claim.organisation_id, [content for content in contents if content.task.task_id in held])
            await notify(connection, stages=[Stage.INDEX], jobs={row["job_id"] for row in passed if row["job_id"]})

        await self._database.run(work)

    async def fail(self, claim: Claim, failures: Sequence[Failure]) -> None:
        await fail_held(self._database, claim, failures)


async def _write(connection: Connection, organisation_id: str, contents: Sequence[ParsedContent]) -> None:
    documents = [content.document for content in contents]
    await connection.execute(
        DESCRIBE,
        [content.task.document_id for content in contents],
        [content.task.generation for content in contents],
        [document.type for document in documents],
        [document.title or "" for document in documents],
        [document.author or "" for document in documents],
        [document.language for document in documents],
        [document.page_count for document in documents],
        [document.create_time for document in documents],
        [document.update_time for document in documents],
        PARSER_VERSION,
        CHUNKER_VERSION,
        [len(content.passages) for content in contents],
    )
    passages = (
        (
            passage.passage_id, organisation_id, content.task.document_id, content.task.generation, passage.ordinal, passage.text,
            passage.context, passage.text_hash, passage.page, passage.start, passage.end, passage.headings, passage.anchor,
        )
        for content in contents
        for passage in content.passages
    )  # fmt: skip
    await _insert(connection, INSERT_PASSAGES, passages)
    pages = (
        (content.task.document_id, content.task.generation, page.number, organisation_id, page.text)
        for content in contents
        for page in content.pages
    )
    await _insert(connection, INSERT_PAGES, pages)


async def _insert(connection: Connection, statement: str, rows: Iterator[tuple[object, ...]]) -> None:
    while batch := list(islice(rows, ROWS_A_STATEMENT)):
        await connection.execute(statement, batch)
