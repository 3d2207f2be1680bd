"""Tasks that end without success, by their worker's own word."""

from __future__ import annotations

from collections.abc import Sequence

from ingestor.adapters.postgres.database import Connection, Database
from ingestor.adapters.postgres.generations import end_tasks, lock_documents
from ingestor.adapters.postgres.steps import record_steps
from ingestor.domain.tasks import Claim, Failure


async def fail_held(database: Database, claim: Claim, failures: Sequence[Failure]) -> None:
    """End those tasks in FAILED that the claim's token still holds."""
    ids = [failure.task_id for failure in failures]
    documents = {task.document_id for task in claim.tasks if task.task_id in set(ids)}

    async def work(connection: Connection) -> None:
        await lock_documents(connection, documents)
        reasons = [failure.reason for failure in failures]
        messages = [failure.message for failure in failures]
        await end_tasks(connection, ids, "FAILED", reasons, messages, token=claim.token)
        await record_steps(connection, claim)

    await database.run(work)
