"""Collections, documents and their generations, passages, jobs and the lease table."""

from __future__ import annotations

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

# Ids and organisations are compared byte by byte: faster than a language's order, and the same on every server.
COLLECTION = """
CREATE TABLE library.collection (
    collection_id text COLLATE "C" PRIMARY KEY,
    organisation_id text COLLATE "C" NOT NULL,
    name text COLLATE "C" NOT NULL,
    description text NOT NULL,
    metadata jsonb NOT NULL,
    passage_tokens integer NOT NULL CHECK (passage_tokens >= 0),
    create_time timestamptz NOT NULL DEFAULT now(),
    update_time timestamptz NOT NULL DEFAULT now(),
    deleted_time timestamptz
)
"""

# A row stands here before its bytes are written, so no file is ever unknown; `keep_until` shields it until a generation refers to it.
STORED_OBJECT = """
CREATE TABLE library.stored_object (
    organisation_id text COLLATE "C" NOT NULL,
    object_key text COLLATE "C" NOT NULL,
    size_bytes bigint NOT NULL,
    keep_until timestamptz NOT NULL,
    PRIMARY KEY (organisation_id, object_key)
)
"""

# `state`, `reason` and `message` speak of the newest content (`content_generation`), the columns after them of the visible one.
# `attributes_version` counts changes of what the index keeps beside vectors; a generation remembers the version that it was indexed with.
DOCUMENT = """
CREATE TABLE library.document (
    document_id text COLLATE "C" PRIMARY KEY,
    organisation_id text COLLATE "C" NOT NULL,
    collection_id text COLLATE "C" NOT NULL REFERENCES library.collection,
    identity text COLLATE "C" NOT NULL,
    external_id text NOT NULL,
    name text NOT NULL,
    uri text NOT NULL,
    metadata jsonb NOT NULL,
    attributes_version bigint NOT NULL DEFAULT 1,
    latest_generation bigint NOT NULL DEFAULT 0,
    content_generation bigint NOT NULL DEFAULT 0,
    content_sha256 text NOT NULL DEFAULT '',
    size_bytes bigint NOT NULL DEFAULT 0,
    state text NOT NULL CHECK (state IN ('PROCESSING', 'READY', 'FAILED', 'QUARANTINED', 'CANCELLED')),
    reason text NOT NULL DEFAULT '',
    message text NOT NULL DEFAULT '',
    visible_generation bigint NOT NULL DEFAULT 0,
    type text NOT NULL DEFAULT '',
    title text NOT NULL DEFAULT '',
    author text NOT NULL DEFAULT '',
    language text NOT NULL DEFAULT '',
    page_count integer NOT NULL DEFAULT 0,
    passage_count integer NOT NULL DEFAULT 0,
    indexed_time timestamptz,
    create_time timestamptz NOT NULL DEFAULT now(),
    update_time timestamptz NOT NULL DEFAULT now(),
    deleted_time timestamptz
)
"""

# Content is either in the object store (`object_key`), here (`inline_text`, for batches of small texts), or still to be fetched.
GENERATION = """
CREATE TABLE library.document_generation (
    document_id text COLLATE "C" NOT NULL REFERENCES library.document ON DELETE CASCADE,
    generation bigint NOT NULL CHECK (generation > 0),
    organisation_id text COLLATE "C" NOT NULL,
    state text NOT NULL CHECK (state IN ('PROCESSING', 'READY', 'FAILED', 'QUARANTINED', 'CANCELLED', 'SUPERSEDED')),
    content_sha256 text NOT NULL,
    size_bytes bigint NOT NULL,
    object_key text COLLATE "C",
    inline_text text,
    source_url text,
    declared_media_type text NOT NULL DEFAULT '',
    type text NOT NULL DEFAULT '',
    title text NOT NULL DEFAULT '',
    author text NOT NULL DEFAULT '',
    language text NOT NULL DEFAULT '',
    page_count integer NOT NULL DEFAULT 0,
    source_create_time timestamptz,
    source_update_time timestamptz,
    parser text NOT NULL DEFAULT '',
    chunker text NOT NULL DEFAULT '',
    embedding_model text NOT NULL DEFAULT '',
    expected_passages integer,
    attributes_version bigint NOT NULL DEFAULT 0,
    create_time timestamptz NOT NULL DEFAULT now(),
    visible_time timestamptz,
    PRIMARY KEY (document_id, generation),
    FOREIGN KEY (organisation_id, object_key) REFERENCES library.stored_object
)
"""

PASSAGE = """
CREATE TABLE library.passage (
    passage_id text COLLATE "C" PRIMARY KEY,
    organisation_id text COLLATE "C" NOT NULL,
    document_id text COLLATE "C" NOT NULL,
    generation bigint NOT NULL,
    ordinal integer NOT NULL,
    text text NOT NULL,
    context text NOT NULL,
    text_hash bytea NOT NULL,
    page integer NOT NULL,
    start_offset integer NOT NULL,
    end_offset integer NOT NULL,
    headings text[] NOT NULL,
    anchor text NOT NULL,
    UNIQUE (document_id, generation, ordinal),
    FOREIGN KEY (document_id, generation) REFERENCES library.document_generation ON DELETE CASCADE
)
"""

PAGE = """
CREATE TABLE library.page (
    document_id text COLLATE "C" NOT NULL,
    generation bigint NOT NULL,
    number integer NOT NULL,
    organisation_id text COLLATE "C" NOT NULL,
    text text NOT NULL,
    PRIMARY KEY (document_id, generation, number),
    FOREIGN KEY (document_id, generation) REFERENCES library.document_generation ON DELETE CASCADE
)
"""

JOB = """
CREATE TABLE library.job (
    job_id text COLLATE "C" PRIMARY KEY,
    organisation_id text COLLATE "C" NOT NULL,
    collection_id text COLLATE "C" NOT NULL,
    kind text NOT NULL CHECK (kind IN ('INGEST', 'PURGE')),
    create_time timestamptz NOT NULL DEFAULT now()
)
"""

# The lease table. A task outlives its document (a purge removes that), so it refers to it by id alone. Without a job it is upkeep.
TASK = """
CREATE TABLE library.task (
    task_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    organisation_id text COLLATE "C" NOT NULL,
    job_id text COLLATE "C" REFERENCES library.job ON DELETE CASCADE,
    document_id text COLLATE "C" NOT NULL,
    generation bigint NOT NULL,
    stage text NOT NULL CHECK (stage IN ('FETCH', 'PARSE', 'INDEX', 'PUBLISH', 'PURGE')),
    state text NOT NULL CHECK (state IN ('QUEUED', 'RUNNING', 'SUCCEEDED', 'FAILED', 'QUARANTINED', 'CANCELLED', 'SUPERSEDED')),
    weight bigint NOT NULL,
    deliveries integer NOT NULL DEFAULT 0,
    not_before timestamptz NOT NULL DEFAULT now(),
    lease_token text,
    lease_until timestamptz,
    reason text NOT NULL DEFAULT '',
    message text NOT NULL DEFAULT '',
    embedded_count integer NOT NULL DEFAULT 0,
    reused_count integer NOT NULL DEFAULT 0,
    create_time timestamptz NOT NULL DEFAULT now(),
    start_time timestamptz,
    end_time timestamptz
)
"""

# What a delete removed; stays when the document's row has gone.
DELETION_RECEIPT = """
CREATE TABLE library.deletion_receipt (
    document_id text COLLATE "C" PRIMARY KEY,
    organisation_id text COLLATE "C" NOT NULL,
    job_id text COLLATE "C" NOT NULL,
    deleted_time timestamptz NOT NULL DEFAULT now(),
    purge_verified_time timestamptz,
    passage_count bigint NOT NULL DEFAULT 0,
    vector_count bigint NOT NULL DEFAULT 0,
    file_count bigint NOT NULL DEFAULT 0
)
"""

INDEXES = (
    "CREATE UNIQUE INDEX collection_name ON library.collection (organisation_id, name) WHERE deleted_time IS NULL",
    "CREATE UNIQUE INDEX document_identity ON library.document (collection_id, identity) WHERE deleted_time IS NULL",
    "CREATE INDEX document_age ON library.document (collection_id, create_time, document_id)",
    "CREATE INDEX generation_object ON library.document_generation (organisation_id, object_key) WHERE object_key IS NOT NULL",
    "CREATE INDEX passage_text_hash ON library.passage (document_id, generation, text_hash)",
    "CREATE INDEX job_age ON library.job (organisation_id, create_time, job_id)",
    "CREATE INDEX task_of_job ON library.task (job_id)",
    "CREATE INDEX task_of_document ON library.task (document_id)",
    "CREATE INDEX task_queued ON library.task (stage, organisation_id, task_id) WHERE state = 'QUEUED'",
    "CREATE INDEX task_redelivered ON library.task (stage, task_id) WHERE state = 'QUEUED' AND deliveries > 0",
    "CREATE INDEX task_running ON library.task (stage, organisation_id) WHERE state = 'RUNNING'",
    "CREATE INDEX task_upkeep ON library.task (end_time) WHERE job_id IS NULL",
    "CREATE INDEX task_lease ON library.task (lease_until) WHERE state = 'RUNNING'",
)

TABLES = (COLLECTION, STORED_OBJECT, DOCUMENT, GENERATION, PASSAGE, PAGE, JOB, TASK, DELETION_RECEIPT)
NAMES = ("deletion_receipt", "task", "job", "page", "passage", "document_generation", "document", "stored_object", "collection")


def upgrade() -> None:
    for statement in (*TABLES, *INDEXES):
        op.execute(statement)


def downgrade() -> None:
    for name in NAMES:
        op.execute(f"DROP TABLE library.{name}")
