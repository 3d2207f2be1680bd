"""What the comparison with the vector index needs: passages of an organisation in order, and when it was last done."""

from __future__ import annotations

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

# One row an organisation: who is comparing now, and what the last comparison found and could not mend.
RECONCILIATION = """
CREATE TABLE library.reconciliation (
    organisation_id text COLLATE "C" PRIMARY KEY,
    create_time timestamptz NOT NULL DEFAULT now(),
    check_time timestamptz,
    lease_token text,
    lease_until timestamptz,
    missing_count bigint NOT NULL DEFAULT 0,
    orphan_count bigint NOT NULL DEFAULT 0,
    stale_count bigint NOT NULL DEFAULT 0,
    duplicate_count bigint NOT NULL DEFAULT 0,
    mismatch_count bigint NOT NULL DEFAULT 0
)
"""


def upgrade() -> None:
    op.execute(RECONCILIATION)
    op.execute("CREATE INDEX passage_of_organisation ON library.passage (organisation_id, passage_id)")


def downgrade() -> None:
    op.execute("DROP INDEX library.passage_of_organisation")
    op.execute("DROP TABLE library.reconciliation")
