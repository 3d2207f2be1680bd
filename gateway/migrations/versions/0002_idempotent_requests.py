"""Requests that carried an Idempotency-Key, and what they were answered."""

from __future__ import annotations

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

# A row without a status is a request in work, whose process renews `lease_until`. The key is kept as a digest; it also opens the reply.
TABLE = """
CREATE TABLE accounts.idempotent_request (
    organisation_id text NOT NULL REFERENCES accounts.organisation ON DELETE CASCADE,
    api_key_id text NOT NULL,
    route text NOT NULL,
    key_digest bytea NOT NULL CHECK (length(key_digest) = 32),
    token text NOT NULL,
    lease_until timestamptz NOT NULL,
    create_time timestamptz NOT NULL DEFAULT now(),
    fingerprint bytea,
    status integer,
    sealed_reply bytea,
    PRIMARY KEY (organisation_id, api_key_id, route, key_digest)
)
"""


def upgrade() -> None:
    op.execute(TABLE)
    op.execute("CREATE INDEX idempotent_request_by_age ON accounts.idempotent_request (create_time)")


def downgrade() -> None:
    op.execute("DROP TABLE accounts.idempotent_request")
