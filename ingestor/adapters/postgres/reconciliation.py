"""What a reconciliation reads and writes in Postgres."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from prometheus_client import Gauge

from ingestor.adapters.postgres.database import Connection, Database
from ingestor.adapters.postgres.generations import FINGERPRINT, index_again, lock_documents
from ingestor.domain.drift import Difference, DriftKind, IndexRow, Standing

DRIFT = Gauge("lectern_ingestor_drift_passages", "Passages in which the index differed when it was last compared, and still does", ["kind"])

# A lease outlasts any single step of a reconciliation; each step renews it.
LEASE_SECONDS = 180

VISIBLE = """
    JOIN library.document d ON d.document_id = p.document_id AND d.visible_generation = p.generation AND d.deleted_time IS NULL
    JOIN library.document_generation g ON g.document_id = p.document_id AND g.generation = p.generation
"""
VISIBLE_COUNT = """
SELECT coalesce(sum(passage_count), 0) FROM library.document
WHERE organisation_id = $1 AND deleted_time IS NULL AND visible_generation > 0
"""
VISIBLE_ROWS = f"""
SELECT p.passage_id, p.document_id, p.generation, d.collection_id, {FINGERPRINT} AS fingerprint
FROM library.passage p {VISIBLE}
WHERE p.organisation_id = $1 AND p.passage_id > $2 ORDER BY p.passage_id LIMIT $3
"""
# In work: a task of the document that has not ended, or one that wrote this very generation and ended a moment ago, when its worker
# may not have heard of it; and a delete that was not verified long ago.
STANDINGS = f"""
SELECT s.position,
    EXISTS (
        SELECT FROM library.task t WHERE t.document_id = s.document_id AND (
            t.state IN ('QUEUED', 'RUNNING') OR t.lease_until > now()
            OR (t.generation = s.generation AND t.stage <> 'PURGE' AND s.surplus AND t.end_time > now() - make_interval(secs => $6))
        )
    ) OR EXISTS (
        SELECT FROM library.deletion_receipt r
        WHERE r.document_id = s.document_id AND coalesce(r.purge_verified_time, now()) > now() - make_interval(secs => $6)
    ) AS in_work,
    EXISTS (SELECT FROM library.passage p {VISIBLE} WHERE p.passage_id = s.passage_id AND p.organisation_id = $1) AS visible,
    d.visible_generation,
    EXISTS (
        SELECT FROM library.passage p {VISIBLE}
        WHERE p.document_id = s.document_id AND p.generation = s.generation AND {FINGERPRINT} = s.fingerprint
    ) AS has_twin
FROM unnest($2::text[], $3::text[], $4::bigint[], $5::text[], $7::boolean[])
    WITH ORDINALITY AS s(passage_id, document_id, generation, fingerprint, surplus, position)
    LEFT JOIN library.document d ON d.document_id = s.document_id AND d.organisation_id = $1 AND d.deleted_time IS NULL
ORDER BY s.position
"""
SETTLED = """
SELECT w.document_id, coalesce(d.visible_generation >= w.generation, true) AS mended
FROM unnest($2::text[], $3::bigint[]) AS w(document_id, generation)
    LEFT JOIN library.document d ON d.document_id = w.document_id AND d.organisation_id = $1 AND d.deleted_time IS NULL
WHERE NOT EXISTS (
    SELECT FROM library.task t WHERE t.document_id = w.document_id AND t.job_id IS NULL AND t.state IN ('QUEUED', 'RUNNING')
)
"""
# A repair deletes from the index by what it read there a moment ago, so it ends where a new index takes the old one's place.
LEASE = f"""
INSERT INTO library.reconciliation AS r (organisation_id, lease_token, lease_until)
SELECT $1, $2, now() + interval '{LEASE_SECONDS} seconds'
WHERE NOT EXISTS (SELECT FROM library.index_rebuild WHERE state = 'SWITCHING')
ON CONFLICT (organisation_id) DO UPDATE SET lease_token = excluded.lease_token, lease_until = excluded.lease_until
WHERE r.lease_token = $2 OR r.lease_until IS NULL OR r.lease_until < now()
RETURNING organisation_id
"""
RELEASE = "UPDATE library.reconciliation SET lease_token = NULL, lease_until = NULL WHERE organisation_id = $1 AND lease_token = $2"
RECORD = """
INSERT INTO library.reconciliation (
    organisation_id, check_time, missing_count, orphan_count, stale_count, duplicate_count, mismatch_count
) VALUES ($1, now(), $2, $3, $4, $5, $6)
ON CONFLICT (organisation_id) DO UPDATE SET
    check_time = now(), missing_count = excluded.missing_count, orphan_count = excluded.orphan_count, stale_count = excluded.stale_count,
    duplicate_count = excluded.duplicate_count, mismatch_count = excluded.mismatch_count
"""
ORGANISATIONS = "SELECT DISTINCT organisation_id FROM library.collection"
NOTE_ORGANISATIONS = """
INSERT INTO library.reconciliation (organisation_id) SELECT unnest($1::text[]) ON CONFLICT (organisation_id) DO NOTHING
"""
# One that was never compared is due when it has been known for so long.
TAKE_DUE = f"""
UPDATE library.reconciliation SET lease_token = $1, lease_until = now() + interval '{LEASE_SECONDS} seconds'
WHERE organisation_id = (
    SELECT organisation_id FROM library.reconciliation
    WHERE coalesce(check_time, create_time) < now() - make_interval(secs => $2) AND (lease_until IS NULL OR lease_until < now())
        AND NOT EXISTS (SELECT FROM library.index_rebuild WHERE state = 'SWITCHING')
        AND NOT organisation_id = ANY($3::text[])
    ORDER BY coalesce(check_time, create_time) LIMIT 1 FOR UPDATE SKIP LOCKED
)
RETURNING organisation_id
"""
COUNT_DRIFT = """
SELECT sum(missing_count) AS missing, sum(orphan_count) AS orphan, sum(stale_count) AS stale, sum(duplicate_count) AS duplicate,
    sum(mismatch_count) AS mismatch
FROM library.reconciliation
"""
_COUNTED = (DriftKind.MISSING, DriftKind.ORPHAN, DriftKind.STALE, DriftKind.DUPLICATE, DriftKind.MISMATCH)


class PostgresReconciliation:
    """A `ReconcileStore` and `ReconcileCalendar`."""

    def __init__(self, database: Database, *, grace_seconds: float) -> None:
        """Keep away from what ended less than ``grace_seconds`` ago."""
        self._database = database
        self._grace_seconds = grace_seconds

    async def visible_count(self, organisation_id: str) -> int:
        async with self._database.connection() as connection:
            return int(await connection.fetchval(VISIBLE_COUNT, organisation_id))

    async def visible_rows(self, organisation_id: str, after: str, limit: int) -> list[IndexRow]:
        async with self._database.connection() as connection:
            return [IndexRow(**row) for row in await connection.fetch(VISIBLE_ROWS, organisation_id, after, limit)]

    async def standings(self, organisation_id: str, differences: Sequence[Difference]) -> list[Standing]:
        rows = [each.row for each in differences]
        names = ("passage_id", "document_id", "generation", "fingerprint")
        columns = [[getattr(row, name) for row in rows] for name in names]
        surplus = [each.expected is None for each in differences]
        async with self._database.connection() as connection:
            found = await connection.fetch(STANDINGS, organisation_id, *columns, self._grace_seconds, surplus)
        return [Standing(row["in_work"], row["visible"], row["visible_generation"], row["has_twin"]) for row in found]

    async def index_again(self, organisation_id: str, document_ids: Sequence[str]) -> Mapping[str, int]:
        async def work(connection: Connection) -> Mapping[str, int]:
            await lock_documents(connection, document_ids)
            return await index_again(connection, organisation_id, document_ids)

        return await self._database.run(work)

    async def settled(self, organisation_id: str, generations: Mapping[str, int]) -> Mapping[str, bool]:
        async with self._database.connection() as connection:
            rows = await connection.fetch(SETTLED, organisation_id, list(generations), list(generations.values()))
        return {row["document_id"]: row["mended"] for row in rows}

    async def lease(self, organisation_id: str, token: str) -> bool:
        async with self._database.connection() as connection:
            return await connection.fetchval(LEASE, organisation_id, token) is not None

    async def release(self, organisation_id: str, token: str) -> None:
        async with self._database.connection() as connection:
            await connection.execute(RELEASE, organisation_id, token)

    async def record(self, organisation_id: str, left: Mapping[DriftKind, int]) -> None:
        async with self._database.connection() as connection:
            await connection.execute(RECORD, organisation_id, *(left.get(kind, 0) for kind in _COUNTED))

    async def note_organisations(self, others: Sequence[str]) -> None:
        async with self._database.connection() as connection:
            known = [row["organisation_id"] for row in await connection.fetch(ORGANISATIONS)]
            await connection.execute(NOTE_ORGANISATIONS, sorted({*known, *others}))

    async def take_due(self, token: str, *, every_seconds: float, but: Sequence[str]) -> str | None:
        async with self._database.connection() as connection:
            organisation_id: str | None = await connection.fetchval(TAKE_DUE, token, every_seconds, but)
            return organisation_id

    async def measure(self) -> None:
        """Set the gauges to what the last comparisons left, whichever process made them."""
        async with self._database.connection() as connection:
            row = await connection.fetchrow(COUNT_DRIFT)
        for kind in _COUNTED:
            DRIFT.labels(kind.lower()).set((row and row[kind.lower()]) or 0)
