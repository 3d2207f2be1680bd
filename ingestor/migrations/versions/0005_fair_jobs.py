"""Queued tasks by organisation and job, so that jobs of one organisation share its turns."""

from __future__ import annotations

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

UP = (
    "DROP INDEX library.task_queued",
    "CREATE INDEX task_queued ON library.task (stage, organisation_id, coalesce(job_id, ''), task_id) WHERE state = 'QUEUED'",
)
DOWN = (
    "DROP INDEX library.task_queued",
    "CREATE INDEX task_queued ON library.task (stage, organisation_id, task_id) WHERE state = 'QUEUED'",
)


def upgrade() -> None:
    for statement in UP:
        op.execute(statement)


def downgrade() -> None:
    for statement in DOWN:
        op.execute(statement)
