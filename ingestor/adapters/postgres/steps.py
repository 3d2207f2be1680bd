"""What workers spent on the steps of jobs. Runs in its caller's transaction."""

from __future__ import annotations

from collections import Counter

from ingestor.adapters.postgres.database import Connection
from ingestor.domain.tasks import Claim

# In a fixed order, so that two claims with tasks of the same jobs wait for each other instead of for ever.
RECORD = """
INSERT INTO library.job_step AS s (job_id, step, work_seconds, begin_time, end_time)
SELECT j.job_id, n.step, n.seconds * n.share, now() - make_interval(secs => n.seconds), now()
FROM unnest($1::text[], $2::text[], $3::float8[], $4::float8[]) AS n(job_id, step, seconds, share) JOIN library.job j USING (job_id)
ORDER BY j.job_id, n.step
ON CONFLICT (job_id, step) DO UPDATE
SET work_seconds = s.work_seconds + excluded.work_seconds, begin_time = least(s.begin_time, excluded.begin_time),
    end_time = greatest(s.end_time, excluded.end_time)
"""


async def record_steps(connection: Connection, claim: Claim) -> None:
    """Share what was spent on ``claim`` out to its jobs, by the number of their tasks in it."""
    jobs = Counter(task.job_id for task in claim.tasks if task.job_id)
    spent = claim.spent()
    rows = [(job_id, step, seconds, count / len(claim.tasks)) for job_id, count in jobs.items() for step, seconds in spent.items()]
    if rows:
        await connection.execute(RECORD, *(list(column) for column in zip(*rows, strict=True)))
