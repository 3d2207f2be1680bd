"""Assistants: an organisation's own, and the built-in ones, which belong to no organisation."""

from __future__ import annotations

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

# NULLS NOT DISTINCT: a built-in name is unique among the built-in ones, too.
TABLE = """
CREATE TABLE accounts.assistant (
    assistant_id text PRIMARY KEY,
    organisation_id text REFERENCES accounts.organisation ON DELETE CASCADE,
    owner_id text CHECK ((owner_id IS NULL) = (organisation_id IS NULL)),
    name text NOT NULL CHECK (length(name) BETWEEN 1 AND 200),
    description text NOT NULL,
    prompt text NOT NULL,
    visibility text NOT NULL CHECK (visibility IN ('private', 'organisation')),
    avatar text NOT NULL,
    starter_messages text[] NOT NULL,
    collections text[] NOT NULL,
    model text NOT NULL,
    language text NOT NULL,
    create_time timestamptz NOT NULL DEFAULT now(),
    update_time timestamptz NOT NULL DEFAULT now(),
    UNIQUE NULLS NOT DISTINCT (organisation_id, name)
)
"""


def upgrade() -> None:
    op.execute(TABLE)


def downgrade() -> None:
    op.execute("DROP TABLE accounts.assistant")
