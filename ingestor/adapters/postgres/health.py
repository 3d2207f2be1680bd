"""What the database says of itself and of the queue."""

from __future__ import annotations

from prometheus_client import Gauge

from ingestor.adapters.postgres.database import Database
from ingestor.domain.tasks import Stage
from ingestor.migrations import HEAD, SCHEMA, UPGRADE_COMMAND

TASKS = Gauge("lectern_ingestor_tasks", "Tasks that have not ended", ["stage", "state"])
OLDEST_TASK_SECONDS = Gauge("lectern_ingestor_oldest_task_seconds", "Age of the oldest task that has not ended")

COUNT_TASKS = """
SELECT stage, state, count(*) AS tasks, extract(epoch FROM now() - min(create_time))::float8 AS oldest
FROM library.task WHERE state IN ('QUEUED', 'RUNNING') GROUP BY stage, state
"""


class DatabaseHealth:
    """Checks the schema and keeps the gauges of the queue."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def check(self) -> None:
        """Raise unless the database answers and has the tables that this program needs.

        Raises:
            AppError: DATABASE_SCHEMA_OUTDATED, DATABASE_UNAVAILABLE, DATABASE_BUSY.
        """
        await self._database.check_schema(SCHEMA, HEAD, UPGRADE_COMMAND)

    async def measure(self) -> None:
        """Set the gauges from the rows."""
        async with self._database.connection() as connection:
            rows = await connection.fetch(COUNT_TASKS)
        counts = {(row["stage"], row["state"]): row["tasks"] for row in rows}
        for stage in Stage:
            for state in ("QUEUED", "RUNNING"):
                TASKS.labels(stage, state).set(counts.get((stage, state), 0))
        OLDEST_TASK_SECONDS.set(max((row["oldest"] for row in rows), default=0.0))
