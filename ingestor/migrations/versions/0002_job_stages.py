"""What a job's stages cost, what its documents weigh, and when it was begun again."""

from __future__ import annotations

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

# Time that workers spent on a job, by step. It is a sum over many claims, so no task can carry it.
JOB_STEP = """
CREATE TABLE library.job_step (
    job_id text COLLATE "C" NOT NULL REFERENCES library.job ON DELETE CASCADE,
    step text NOT NULL CHECK (step IN ('FETCH', 'PARSE', 'CHUNK', 'EMBED', 'VERIFY', 'PUBLISH', 'PURGE')),
    work_seconds double precision NOT NULL,
    begin_time timestamptz NOT NULL,
    end_time timestamptz NOT NULL,
    PRIMARY KEY (job_id, step)
)
"""

UP = (
    JOB_STEP,
    "ALTER TABLE library.job ADD COLUMN retry_time timestamptz",
    # The share of its job's work that a task stands for; unlike `weight` it stays the same from stage to stage.
    "ALTER TABLE library.task ADD COLUMN size_bytes bigint NOT NULL DEFAULT 1 CHECK (size_bytes > 0)",
    "CREATE INDEX task_state_of_job ON library.task (job_id, state, task_id)",
    "DROP INDEX library.task_of_job",
    "CREATE INDEX job_time ON library.job (create_time)",
)
DOWN = (
    "DROP INDEX library.job_time",
    "CREATE INDEX task_of_job ON library.task (job_id)",
    "DROP INDEX library.task_state_of_job",
    "ALTER TABLE library.task DROP COLUMN size_bytes",
    "ALTER TABLE library.job DROP COLUMN retry_time",
    "DROP TABLE library.job_step",
)


def upgrade() -> None:
    for statement in UP:
        op.execute(statement)


def downgrade() -> None:
    for statement in DOWN:
        op.execute(statement)
