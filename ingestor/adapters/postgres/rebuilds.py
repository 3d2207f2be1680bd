"""What a rebuild of the index reads and writes in Postgres."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ingestor.adapters.postgres.database import Connection, Database
from ingestor.adapters.postgres.generations import FINGERPRINT, notify
from ingestor.adapters.postgres.queue import CLAIMING_LOCK, WRITES_INDEX
from ingestor.adapters.postgres.reconciliation import ORGANISATIONS, VISIBLE, PostgresReconciliation
from ingestor.domain.drift import IndexRow
from ingestor.domain.pipeline.index import Attributes, StoredPassage
from ingestor.domain.rebuild import Rebuild, RebuildState
from ingestor.domain.tasks import Stage

_COLUMNS = "rebuild_id, state, create_time, collection, replaced_collection, walk, done, total, embedded, reused, reason, message"
INSERT = f"INSERT INTO library.index_rebuild (rebuild_id) VALUES ($1) ON CONFLICT DO NOTHING RETURNING {_COLUMNS}"
NEWEST = f"SELECT {_COLUMNS} FROM library.index_rebuild ORDER BY create_time DESC LIMIT 1"
TAKE = f"""
UPDATE library.index_rebuild SET lease_token = $1, lease_until = now() + make_interval(secs => $2)
WHERE rebuild_id = (
    SELECT rebuild_id FROM library.index_rebuild
    WHERE state IN ('BUILDING', 'SWITCHING') AND (lease_until IS NULL OR lease_until < now()) FOR UPDATE SKIP LOCKED
)
RETURNING {_COLUMNS}
"""
SAVE = """
UPDATE library.index_rebuild
SET state = $3, collection = $4, replaced_collection = $5, walk = $6, done = $7, total = $8, embedded = $9, reused = $10, reason = $11,
    message = $12, end_time = CASE WHEN $3 IN ('SUCCEEDED', 'FAILED') THEN now() END
WHERE rebuild_id = $1 AND lease_token = $2
RETURNING rebuild_id
"""
RENEW = """
UPDATE library.index_rebuild SET lease_until = now() + make_interval(secs => $3) WHERE rebuild_id = $1 AND lease_token = $2
"""
RELEASE = "UPDATE library.index_rebuild SET lease_token = NULL, lease_until = NULL WHERE rebuild_id = $1 AND lease_token = $2"
# Every claim from before has committed when this is granted, and every later one sees that the index is held still.
WAIT_FOR_CLAIMS = f"SELECT pg_advisory_xact_lock({CLAIMING_LOCK})"
# A task that was taken away from its worker may still be written until the lease ends; a repair writes under a lease of its own.
WRITERS = f"""
SELECT EXISTS (SELECT FROM library.task WHERE stage IN {WRITES_INDEX} AND state = 'RUNNING')
    OR EXISTS (SELECT FROM library.task WHERE stage IN {WRITES_INDEX} AND lease_until > now())
    OR EXISTS (SELECT FROM library.reconciliation WHERE lease_until > now())
"""
# A rebuild may fail at the very end and have put its collection into the other's place all the same: that shows when it is replaced itself.
REPLACED = """
SELECT replaced_collection FROM library.index_rebuild
WHERE drop_time IS NULL AND replaced_collection <> '' AND end_time < now() - make_interval(secs => $1)
    AND (state = 'SUCCEEDED' OR collection IN (SELECT replaced_collection FROM library.index_rebuild WHERE state = 'SUCCEEDED'))
"""
FORGET_REPLACED = "UPDATE library.index_rebuild SET drop_time = now() WHERE replaced_collection = $1"
PASSAGES = f"""
SELECT p.passage_id, p.document_id, p.generation, p.ordinal, p.text, p.context, {FINGERPRINT} AS fingerprint, d.collection_id, g.type,
    g.author, g.language, d.metadata, coalesce(g.source_create_time, d.create_time) AS create_time,
    coalesce(g.source_update_time, d.update_time) AS update_time
FROM library.passage p {VISIBLE}
WHERE p.organisation_id = $1 AND p.passage_id = ANY($2::text[])
"""


class PostgresRebuilds:
    """A `RebuildStore`."""

    def __init__(self, database: Database, library: PostgresReconciliation, *, lease_seconds: float) -> None:
        """``library`` says what the index should hold."""
        self._database = database
        self._library = library
        self._lease_seconds = lease_seconds

    @property
    def lease_seconds(self) -> float:
        return self._lease_seconds

    async def insert(self, rebuild_id: str) -> Rebuild | None:
        return await self._fetch(INSERT, rebuild_id)

    async def newest(self) -> Rebuild | None:
        return await self._fetch(NEWEST)

    async def take(self, token: str) -> Rebuild | None:
        return await self._fetch(TAKE, token, self._lease_seconds)

    async def save(self, rebuild: Rebuild, token: str) -> bool:
        values = (
            rebuild.collection, rebuild.replaced_collection, rebuild.walk, rebuild.done, rebuild.total, rebuild.embedded, rebuild.reused,
            rebuild.reason, rebuild.message,
        )  # fmt: skip

        async def work(connection: Connection) -> bool:
            saved = await connection.fetchval(SAVE, rebuild.rebuild_id, token, rebuild.state, *values)
            if rebuild.state.ended:
                await notify(connection, stages=[Stage.INDEX, Stage.PURGE])
            return saved is not None

        return await self._database.run(work)

    async def renew(self, rebuild_id: str, token: str) -> None:
        async with self._database.connection() as connection:
            await connection.execute(RENEW, rebuild_id, token, self._lease_seconds)

    async def release(self, rebuild_id: str, token: str) -> None:
        async with self._database.connection() as connection:
            await connection.execute(RELEASE, rebuild_id, token)

    async def writers_are_still(self) -> bool:
        async def work(connection: Connection) -> bool:
            await connection.execute(WAIT_FOR_CLAIMS)
            return not await connection.fetchval(WRITERS)

        return await self._database.run(work)

    async def take_replaced(self, *, grace_seconds: float) -> list[str]:
        async with self._database.connection() as connection:
            return [row["replaced_collection"] for row in await connection.fetch(REPLACED, grace_seconds)]

    async def forget_replaced(self, collection: str) -> None:
        async with self._database.connection() as connection:
            await connection.execute(FORGET_REPLACED, collection)

    async def organisations(self) -> list[str]:
        async with self._database.connection() as connection:
            return [row["organisation_id"] for row in await connection.fetch(ORGANISATIONS)]

    async def visible_count(self, organisation_id: str) -> int:
        return await self._library.visible_count(organisation_id)

    async def visible_rows(self, organisation_id: str, after: str, limit: int) -> list[IndexRow]:
        return await self._library.visible_rows(organisation_id, after, limit)

    async def visible_passages(
        self, organisation_id: str, passage_ids: Sequence[str]
    ) -> tuple[list[StoredPassage], Mapping[str, Attributes]]:
        async with self._database.connection() as connection:
            rows = await connection.fetch(PASSAGES, organisation_id, passage_ids)
        names = ("passage_id", "document_id", "generation", "ordinal", "text", "context", "fingerprint")
        passages = [StoredPassage(task_id=0, take_vector_from=None, **{name: row[name] for name in names}) for row in rows]
        attributes = {
            row["document_id"]: Attributes(
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
        return passages, attributes

    async def _fetch(self, statement: str, *arguments: object) -> Rebuild | None:
        async with self._database.connection() as connection:
            row = await connection.fetchrow(statement, *arguments)
        return Rebuild(**{**row, "state": RebuildState(row["state"])}) if row else None
