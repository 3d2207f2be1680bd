"""What a purge found before it removed anything."""

from __future__ import annotations

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # A worker that dies between the removal and its account leaves nothing that the next could count.
    op.execute("ALTER TABLE library.task ADD COLUMN vector_count bigint NOT NULL DEFAULT 0")


def downgrade() -> None:
    op.execute("ALTER TABLE library.task DROP COLUMN vector_count")
