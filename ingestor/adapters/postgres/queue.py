"""The lease table in Postgres."""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping, Sequence

from prometheus_client import Counter

from ingestor.adapters.postgres.database import APPLICATION, Connection, Database
from ingestor.adapters.postgres.generations import end_tasks, lock_documents, notify
from ingestor.adapters.postgres.steps import record_steps
from ingestor.domain.tasks import Claim, Stage, Task

DELIVERIES = Counter("lectern_ingestor_deliveries_total", "Tasks given to a worker", ["stage"])
QUARANTINED = Counter("lectern_ingestor_quarantined_total", "Tasks put aside after they took their workers down", ["stage"])

# Shared by those who claim, alone for who begins to hold the index still: then every earlier claim can be seen.
CLAIMING_LOCK = 0x1EC7E2
WRITES_INDEX = "('INDEX', 'PUBLISH', 'PURGE')"
JOIN_CLAIMING = f"SELECT pg_advisory_xact_lock_shared({CLAIMING_LOCK})"

# An organisation that was served longer ago than these counts as never served.
MAX_TURNS = 1000

# A purge waits until no worker can still be writing what it removes. Nobody writes to the index while a new one takes its place.
_CLAIMABLE = f"""
    t.state = 'QUEUED' AND t.stage = $1 AND t.not_before <= now() AND ($1 <> 'PURGE' OR NOT EXISTS (
        SELECT FROM library.task w WHERE w.document_id = t.document_id AND w.task_id <> t.task_id AND w.lease_until > now()
    )) AND ($1 NOT IN {WRITES_INDEX} OR NOT EXISTS (SELECT FROM library.index_rebuild WHERE state = 'SWITCHING'))
"""
_LEASE = """
UPDATE library.task t
SET state = 'RUNNING', deliveries = t.deliveries + 1, lease_token = $2, lease_until = now() + make_interval(secs => $3),
    start_time = coalesce(t.start_time, now())
"""
_TASK = "t.task_id, t.organisation_id, t.job_id, t.document_id, t.generation, t.deliveries"

# The last delivery is alone, and never two of them are in work at once: if it kills its worker again, nobody else is blamed.
CLAIM_LAST = f"""
{_LEASE}
WHERE t.task_id = (
    SELECT t.task_id FROM library.task t WHERE {_CLAIMABLE} AND t.deliveries > 0 AND t.deliveries >= $4 AND NOT EXISTS (
        SELECT FROM library.task r WHERE r.state = 'RUNNING' AND r.deliveries > $4 AND r.lease_until > now()
    )
    ORDER BY t.task_id LIMIT 1 FOR UPDATE SKIP LOCKED
)
RETURNING {_TASK}
"""
# The organisations with queued tasks, and the jobs of the one that is served, are found by skipping through the index, so that fifty
# thousand tasks of one cost nothing. Each job gives as many tasks as the others: a source with little waits for none with much.
CLAIM_MANY = f"""
WITH RECURSIVE waiting(organisation_id) AS (
    (SELECT organisation_id FROM library.task WHERE state = 'QUEUED' AND stage = $1 ORDER BY organisation_id LIMIT 1)
    UNION ALL
    SELECT (
        SELECT n.organisation_id FROM library.task n
        WHERE n.state = 'QUEUED' AND n.stage = $1 AND n.organisation_id > w.organisation_id ORDER BY n.organisation_id LIMIT 1
    ) FROM waiting w WHERE w.organisation_id IS NOT NULL
), next_organisation AS (
    SELECT w.organisation_id FROM waiting w CROSS JOIN LATERAL (
        SELECT count(*) AS running FROM library.task r
        WHERE r.state = 'RUNNING' AND r.stage = $1 AND r.organisation_id = w.organisation_id
    ) r
    LEFT JOIN unnest($8::text[], $9::bigint[]) AS served(organisation_id, turn) ON served.organisation_id = w.organisation_id
    WHERE (NOT $6::boolean OR (r.running = 0 AND $4::bigint >= (
            SELECT count(*) FROM (
                SELECT FROM library.task f WHERE f.state = 'QUEUED' AND f.stage = $1 AND f.organisation_id = w.organisation_id
                LIMIT $4::bigint + 1
            ) few
        )))
        AND EXISTS (SELECT FROM library.task t WHERE t.organisation_id = w.organisation_id AND {_CLAIMABLE} AND t.deliveries < $7)
    ORDER BY r.running, coalesce(served.turn, 0) LIMIT 1
), waiting_job(job_id) AS (
    (
        SELECT coalesce(job_id, '') FROM library.task
        WHERE state = 'QUEUED' AND stage = $1 AND organisation_id = (SELECT organisation_id FROM next_organisation)
        ORDER BY coalesce(job_id, '') LIMIT 1
    )
    UNION ALL
    SELECT (
        SELECT coalesce(n.job_id, '') FROM library.task n
        WHERE n.state = 'QUEUED' AND n.stage = $1 AND n.organisation_id = (SELECT organisation_id FROM next_organisation)
            AND coalesce(n.job_id, '') > w.job_id
        ORDER BY coalesce(n.job_id, '') LIMIT 1
    ) FROM waiting_job w WHERE w.job_id IS NOT NULL
), serving AS (
    SELECT job_id FROM waiting_job WHERE job_id IS NOT NULL LIMIT $4::bigint
), candidate AS (
    SELECT s.job_id, c.task_id, c.weight FROM serving s CROSS JOIN LATERAL (
        SELECT t.task_id, t.weight FROM library.task t
        WHERE t.organisation_id = (SELECT organisation_id FROM next_organisation) AND coalesce(t.job_id, '') = s.job_id
            AND {_CLAIMABLE} AND t.deliveries < $7
        ORDER BY t.task_id LIMIT greatest(1, $4::bigint / (SELECT count(*) FROM serving)) FOR UPDATE SKIP LOCKED
    ) c
), in_turn AS (
    SELECT task_id, weight, row_number() OVER (PARTITION BY job_id ORDER BY task_id) AS turn FROM candidate
), chosen AS (
    SELECT task_id FROM (SELECT task_id, sum(weight) OVER (ORDER BY turn, task_id) - weight AS before FROM in_turn) c
    WHERE before < $5::bigint
)
{_LEASE} WHERE t.task_id = ANY(ARRAY(SELECT task_id FROM chosen))
RETURNING {_TASK}
"""
RENEW = """
UPDATE library.task SET lease_until = now() + make_interval(secs => $2)
WHERE lease_token = ANY($1::text[]) AND state = 'RUNNING' AND lease_until > now()
RETURNING task_id, lease_token
"""
RELEASE = """
UPDATE library.task SET state = 'QUEUED', stage = CASE WHEN stage = 'PUBLISH' THEN 'INDEX' ELSE stage END,
    deliveries = deliveries - CASE WHEN $2::text = '' THEN 1 ELSE 0 END, not_before = now() + make_interval(secs => $3), message = $2,
    lease_token = NULL, lease_until = NULL
WHERE lease_token = $1 AND state = 'RUNNING'
RETURNING stage
"""
# Tasks that others ended while this worker held them: from now on it certainly writes nothing, and what waited for that may go on.
LET_GO = """
UPDATE library.task SET lease_until = NULL WHERE lease_token = $1 AND state <> 'RUNNING' AND lease_until IS NOT NULL RETURNING stage
"""
SPENT = """
SELECT task_id, document_id, stage, message FROM library.task
WHERE deliveries >= $1 AND ((state = 'QUEUED' AND deliveries > 0) OR (state = 'RUNNING' AND lease_until < now()))
"""
# Between the two halves of a statement, the preparing and the running, a process counts as working and not as idle: when it freezes there,
# no timeout of the server's takes its locks away.
END_FROZEN = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE datname = current_database() AND usename = current_user AND application_name = $1 AND state = 'active'
    AND wait_event = 'ClientRead' AND state_change < now() - make_interval(secs => $2)
"""
# A frozen process may still have locks on some: the others need not wait for those.
REQUEUE_EXPIRED = """
UPDATE library.task SET state = 'QUEUED', stage = CASE WHEN stage = 'PUBLISH' THEN 'INDEX' ELSE stage END, lease_token = NULL,
    lease_until = NULL
WHERE task_id IN (SELECT task_id FROM library.task WHERE state = 'RUNNING' AND lease_until < now() FOR UPDATE SKIP LOCKED)
RETURNING stage
"""


# Upkeep that nobody asked for has no job to be retried by: it comes back by itself, and goes when it is done.
REVIVE_UPKEEP = """
UPDATE library.task SET state = 'QUEUED', deliveries = 0, not_before = now(), lease_token = NULL, lease_until = NULL, end_time = NULL
WHERE job_id IS NULL AND stage = 'PURGE' AND state = 'QUARANTINED' AND end_time < now() - interval '1 hour'
"""
FORGET_UPKEEP = """
DELETE FROM library.task WHERE job_id IS NULL AND state NOT IN ('QUEUED', 'RUNNING') AND end_time < now() - interval '1 day'
"""


class Turns:
    """Which organisations this process has served last, so that among equals the others come first."""

    def __init__(self) -> None:
        self._turns: dict[str, int] = {}
        self._next = 1

    def served(self, organisation_id: str) -> None:
        self._turns.pop(organisation_id, None)
        self._turns[organisation_id] = self._next
        self._next += 1
        if len(self._turns) > MAX_TURNS:
            del self._turns[next(iter(self._turns))]

    def columns(self) -> tuple[list[str], list[int]]:
        """Organisations and their turns, for ``unnest``."""
        return list(self._turns), list(self._turns.values())


class PostgresQueue:
    """A `TaskQueue`."""

    def __init__(self, database: Database, *, lease_seconds: float, max_deliveries: int) -> None:
        self._database = database
        self._lease_seconds = lease_seconds
        self._max_deliveries = max_deliveries
        self._turns = {stage: Turns() for stage in Stage}

    async def claim(self, stage: Stage, *, max_tasks: int, max_weight: int, express: bool) -> Claim | None:
        token = secrets.token_hex(16)
        asked_at = time.monotonic()
        lease = (stage, token, self._lease_seconds)
        last = max(1, self._max_deliveries - 1)

        async def work(connection: Connection) -> list[Task]:
            await connection.execute(JOIN_CLAIMING)
            rows = [] if express else await connection.fetch(CLAIM_LAST, *lease, last)
            rows = rows or await connection.fetch(CLAIM_MANY, *lease, max_tasks, max_weight, express, last, *turns.columns())
            organisations.update(row["organisation_id"] for row in rows)
            tasks = [Task(row["task_id"], row["job_id"], row["document_id"], row["generation"], row["deliveries"]) for row in rows]
            await notify(connection, jobs={task.job_id for task in tasks if task.job_id})
            return sorted(tasks, key=lambda task: task.task_id)

        turns, organisations = self._turns[stage], set[str]()
        tasks = await self._database.run(work)
        if not tasks:
            return None
        DELIVERIES.labels(stage).inc(len(tasks))
        organisation_id = organisations.pop()
        turns.served(organisation_id)
        claim = Claim(token, organisation_id, tasks, lease_seconds=self._lease_seconds)
        claim.renewed([task.task_id for task in tasks], asked_at=asked_at)
        return claim

    async def renew(self, tokens: Sequence[str]) -> Mapping[str, set[int]]:
        async def work(connection: Connection) -> dict[str, set[int]]:
            held: dict[str, set[int]] = {token: set() for token in tokens}
            for row in await connection.fetch(RENEW, tokens, self._lease_seconds):
                held[row["lease_token"]].add(row["task_id"])
            return held

        return await self._database.run(work)

    async def release(self, token: str, *, failure: str = "", delay_seconds: float = 0.0) -> None:
        async def work(connection: Connection) -> None:
            released = await connection.fetch(RELEASE, token, failure, delay_seconds)
            let_go = await connection.fetch(LET_GO, token)
            stages = {Stage(row["stage"]) for row in released if not delay_seconds}
            await notify(connection, stages=stages | ({Stage.PURGE} if let_go else set()))

        await self._database.run(work)

    async def record(self, claim: Claim) -> None:
        async with self._database.transaction() as connection:
            await record_steps(connection, claim)

    async def reap(self) -> None:
        async def work(connection: Connection) -> None:
            await connection.execute(END_FROZEN, APPLICATION, self._lease_seconds)
            spent = await connection.fetch(SPENT, self._max_deliveries)
            if spent:
                await lock_documents(connection, {row["document_id"] for row in spent})
                ids = [row["task_id"] for row in spent]
                messages = [_quarantine_message(row["message"], self._max_deliveries) for row in spent]
                await end_tasks(connection, ids, "QUARANTINED", ["QUARANTINED"] * len(ids), messages)
                for row in spent:
                    QUARANTINED.labels(row["stage"]).inc()
            requeued = {Stage(row["stage"]) for row in await connection.fetch(REQUEUE_EXPIRED)}
            await notify(connection, stages=requeued)

        await self._database.run(work)

    async def keep_up(self) -> None:
        """Bring back purges of replaced contents that were put aside, and forget upkeep that ended long ago."""

        async def work(connection: Connection) -> None:
            await connection.execute(REVIVE_UPKEEP)
            await connection.execute(FORGET_UPKEEP)

        await self._database.run(work)


def _quarantine_message(failure: str, deliveries: int) -> str:
    cause = f"failed with {failure}" if failure else "ended without an answer"
    return f"Work on this content {cause} {deliveries} times, so it was put aside. Retry the job once the cause is mended."
