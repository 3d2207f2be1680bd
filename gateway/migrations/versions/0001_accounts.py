"""Organisations and their API keys."""

from __future__ import annotations

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

UP: tuple[str, ...] = (
    """
    CREATE TABLE accounts.organisation (
        organisation_id text PRIMARY KEY,
        name text NOT NULL UNIQUE CHECK (length(name) BETWEEN 1 AND 200),
        create_time timestamptz NOT NULL DEFAULT now()
    )
    """,
    "CREATE INDEX organisation_by_age ON accounts.organisation (create_time, organisation_id)",
    """
    CREATE TABLE accounts.api_key (
        api_key_id text PRIMARY KEY,
        organisation_id text NOT NULL REFERENCES accounts.organisation,
        name text NOT NULL,
        prefix text NOT NULL UNIQUE,
        digest bytea NOT NULL CHECK (length(digest) = 32),
        role text NOT NULL CHECK (role IN ('member', 'admin', 'operator')),
        create_time timestamptz NOT NULL DEFAULT now(),
        last_used_time timestamptz,
        expire_time timestamptz,
        revoke_time timestamptz
    )
    """,
    "CREATE INDEX api_key_by_organisation ON accounts.api_key (organisation_id, create_time, api_key_id)",
)
DOWN: tuple[str, ...] = (
    "DROP TABLE accounts.api_key",
    "DROP TABLE accounts.organisation",
)


def upgrade() -> None:
    for statement in UP:
        op.execute(statement)


def downgrade() -> None:
    for statement in DOWN:
        op.execute(statement)
