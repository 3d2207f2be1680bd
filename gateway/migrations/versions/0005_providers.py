"""Providers of language models with their sealed keys, and the model that an organisation's answers are made with."""

from __future__ import annotations

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

# `encryption_key_id` says which key encryption key opens `sealed_key`; both are absent for an endpoint that wants no key.
TABLE = """
CREATE TABLE accounts.provider (
    provider_id text PRIMARY KEY,
    organisation_id text NOT NULL REFERENCES accounts.organisation ON DELETE CASCADE,
    name text NOT NULL CHECK (length(name) BETWEEN 1 AND 200),
    kind text NOT NULL CHECK (kind IN ('openai')),
    base_url text NOT NULL,
    models jsonb NOT NULL,
    sealed_key bytea,
    encryption_key_id text CHECK ((encryption_key_id IS NULL) = (sealed_key IS NULL)),
    key_hint text NOT NULL,
    create_time timestamptz NOT NULL DEFAULT now(),
    update_time timestamptz NOT NULL DEFAULT now(),
    UNIQUE (organisation_id, name)
)
"""


def upgrade() -> None:
    op.execute(TABLE)
    op.execute("ALTER TABLE accounts.organisation ADD COLUMN language_model text NOT NULL DEFAULT ''")


def downgrade() -> None:
    op.execute("ALTER TABLE accounts.organisation DROP COLUMN language_model")
    op.execute("DROP TABLE accounts.provider")
