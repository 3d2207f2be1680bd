"""Chats: folders, chats, the tree of their messages, and what a user has chosen for all of them."""

from __future__ import annotations

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

SETTINGS = """
CREATE TABLE accounts.user_settings (
    organisation_id text NOT NULL REFERENCES accounts.organisation ON DELETE CASCADE,
    user_id text NOT NULL,
    default_model text NOT NULL DEFAULT '',
    recent_assistants text[] NOT NULL DEFAULT '{}' CHECK (cardinality(recent_assistants) <= 5),
    retention_days integer NOT NULL DEFAULT 0 CHECK (retention_days >= 0),
    PRIMARY KEY (organisation_id, user_id)
)
"""
FOLDER = """
CREATE TABLE accounts.folder (
    folder_id text PRIMARY KEY,
    organisation_id text NOT NULL REFERENCES accounts.organisation ON DELETE CASCADE,
    user_id text NOT NULL,
    name text NOT NULL CHECK (length(name) BETWEEN 1 AND 200),
    create_time timestamptz NOT NULL DEFAULT now(),
    update_time timestamptz NOT NULL DEFAULT now(),
    UNIQUE (organisation_id, user_id, name),
    UNIQUE (organisation_id, user_id, folder_id)
)
"""
# The key with the folder says that a chat lies in a folder of its own user. No assistant is referred to: a chat outlives it.
CHAT = """
CREATE TABLE accounts.chat (
    chat_id text PRIMARY KEY,
    organisation_id text NOT NULL REFERENCES accounts.organisation ON DELETE CASCADE,
    user_id text NOT NULL,
    title text NOT NULL DEFAULT '' CHECK (length(title) <= 200),
    folder_id text,
    assistant_id text NOT NULL DEFAULT '',
    model text NOT NULL DEFAULT '',
    visibility text NOT NULL DEFAULT 'private' CHECK (visibility IN ('private', 'organisation')),
    create_time timestamptz NOT NULL DEFAULT now(),
    update_time timestamptz NOT NULL DEFAULT now(),
    UNIQUE (organisation_id, user_id, chat_id),
    FOREIGN KEY (organisation_id, user_id, folder_id)
        REFERENCES accounts.folder (organisation_id, user_id, folder_id) ON DELETE SET NULL (folder_id)
)
"""
# The tree's shape is the table's: a parent is in the same chat and of the other role, an answer has one, and none can be taken away alone.
# `lease_until` is renewed by the process that writes the answer; when it has passed, that process is gone.
MESSAGE = """
CREATE TABLE accounts.message (
    message_id text PRIMARY KEY,
    organisation_id text NOT NULL,
    user_id text NOT NULL,
    chat_id text NOT NULL,
    ordinal bigint GENERATED ALWAYS AS IDENTITY,
    parent_id text,
    role text NOT NULL CHECK (role IN ('user', 'assistant')),
    parent_role text NOT NULL GENERATED ALWAYS AS (CASE role WHEN 'user' THEN 'assistant' ELSE 'user' END) STORED,
    state text NOT NULL CHECK (state IN ('STREAMING', 'COMPLETE', 'FAILED', 'STOPPED')),
    text text NOT NULL DEFAULT '',
    model text NOT NULL DEFAULT '',
    scope jsonb NOT NULL DEFAULT '{}',
    citations jsonb NOT NULL DEFAULT '[]',
    hits text[] NOT NULL DEFAULT '{}',
    answered boolean NOT NULL DEFAULT false,
    finish_reason text NOT NULL DEFAULT '',
    reason text NOT NULL DEFAULT '',
    timings_ms jsonb NOT NULL DEFAULT '{}',
    trace_id text NOT NULL DEFAULT '',
    rating text CHECK (rating IN ('up', 'down')),
    comment text NOT NULL DEFAULT '',
    lease_until timestamptz,
    stop_wanted boolean NOT NULL DEFAULT false,
    create_time timestamptz NOT NULL DEFAULT now(),
    end_time timestamptz,
    CHECK (role = 'user' OR parent_id IS NOT NULL),
    CHECK ((state = 'STREAMING') = (lease_until IS NOT NULL)),
    UNIQUE (chat_id, message_id, role),
    FOREIGN KEY (organisation_id, user_id, chat_id) REFERENCES accounts.chat (organisation_id, user_id, chat_id) ON DELETE CASCADE,
    FOREIGN KEY (chat_id, parent_id, parent_role) REFERENCES accounts.message (chat_id, message_id, role)
)
"""
UP: tuple[str, ...] = (
    "ALTER TABLE accounts.organisation ADD COLUMN chat_retention_days integer NOT NULL DEFAULT 0 CHECK (chat_retention_days >= 0)",
    SETTINGS,
    FOLDER,
    CHAT,
    "CREATE INDEX chat_by_age ON accounts.chat (organisation_id, user_id, update_time, chat_id)",
    "CREATE INDEX chat_shared ON accounts.chat (organisation_id, update_time, chat_id) WHERE visibility = 'organisation'",
    "CREATE INDEX chat_by_folder ON accounts.chat (organisation_id, user_id, folder_id)",
    MESSAGE,
    "CREATE INDEX message_in_order ON accounts.message (chat_id, ordinal)",
    "CREATE INDEX message_by_parent ON accounts.message (chat_id, parent_id)",
    "CREATE INDEX message_in_work ON accounts.message (lease_until) WHERE state = 'STREAMING'",
)
DOWN: tuple[str, ...] = (
    "DROP TABLE accounts.message",
    "DROP TABLE accounts.chat",
    "DROP TABLE accounts.folder",
    "DROP TABLE accounts.user_settings",
    "ALTER TABLE accounts.organisation DROP COLUMN chat_retention_days",
)


def upgrade() -> None:
    for statement in UP:
        op.execute(statement)


def downgrade() -> None:
    for statement in DOWN:
        op.execute(statement)
