"""Rebuilds of the vector index."""

from __future__ import annotations

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

UP = (
    """
    CREATE TABLE library.index_rebuild (
        rebuild_id text PRIMARY KEY,
        state text NOT NULL DEFAULT 'BUILDING' CHECK (state IN ('BUILDING', 'SWITCHING', 'SUCCEEDED', 'FAILED')),
        collection text NOT NULL DEFAULT '',
        replaced_collection text NOT NULL DEFAULT '',
        walk integer NOT NULL DEFAULT 0,
        done bigint NOT NULL DEFAULT 0,
        total bigint NOT NULL DEFAULT 0,
        embedded bigint NOT NULL DEFAULT 0,
        reused bigint NOT NULL DEFAULT 0,
        reason text NOT NULL DEFAULT '',
        message text NOT NULL DEFAULT '',
        lease_token text,
        lease_until timestamptz,
        create_time timestamptz NOT NULL DEFAULT now(),
        end_time timestamptz,
        drop_time timestamptz
    )
    """,
    "CREATE UNIQUE INDEX index_rebuild_running ON library.index_rebuild ((true)) WHERE state IN ('BUILDING', 'SWITCHING')",
    "CREATE INDEX index_rebuild_newest ON library.index_rebuild (create_time)",
)
DOWN = ("DROP TABLE library.index_rebuild",)


def upgrade() -> None:
    for statement in UP:
        op.execute(statement)


def downgrade() -> None:
    for statement in DOWN:
        op.execute(statement)
