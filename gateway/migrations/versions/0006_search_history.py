"""What users have searched for, and when they last had that forgotten."""

from __future__ import annotations

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

# `request` is what was asked beside the query, as it was written.
SEARCHES = """
CREATE TABLE accounts.past_search (
    search_id text COLLATE "C" PRIMARY KEY,
    organisation_id text NOT NULL REFERENCES accounts.organisation ON DELETE CASCADE,
    user_id text NOT NULL,
    query text NOT NULL,
    request json NOT NULL,
    hit_count integer NOT NULL CHECK (hit_count >= 0),
    total_ms double precision NOT NULL,
    trace_id text NOT NULL,
    create_time timestamptz NOT NULL
)
"""
# Searches are written a moment after they were made, perhaps by another process; none from before this time may be.
CLEARING = """
CREATE TABLE accounts.search_history_clearing (
    organisation_id text NOT NULL REFERENCES accounts.organisation ON DELETE CASCADE,
    user_id text NOT NULL,
    clear_time timestamptz NOT NULL,
    PRIMARY KEY (organisation_id, user_id)
)
"""


def upgrade() -> None:
    op.execute(SEARCHES)
    op.execute("CREATE INDEX past_search_of_user ON accounts.past_search (organisation_id, user_id, create_time, search_id)")
    op.execute("CREATE INDEX past_search_by_age ON accounts.past_search (create_time)")
    op.execute(CLEARING)


def downgrade() -> None:
    op.execute("DROP TABLE accounts.search_history_clearing")
    op.execute("DROP TABLE accounts.past_search")
