"""What the ingestor can be told."""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network
from typing import Annotated

from pydantic import Field, SecretStr
from pydantic_settings import SettingsConfigDict

from shared.settings import ServiceSettings, SettingsGroup

MIB = 1024 * 1024


class Limits(SettingsGroup):
    """How much one caller may hand over."""

    document_bytes: Annotated[int, Field(ge=1, le=1024 * MIB, description="Largest document.")] = 100 * MIB
    batch_entries: Annotated[int, Field(ge=1, le=100_000, description="Most texts in one batch.")] = 20_000
    batch_bytes: Annotated[int, Field(ge=1, description="Largest batch, all texts together.")] = 256 * MIB
    memory_bytes: Annotated[int, Field(ge=1, description="What uploads and batches in flight may hold together; more are refused.")] = (
        512 * MIB
    )


class Queue(SettingsGroup):
    """How tasks are leased."""

    lease_seconds: Annotated[
        float, Field(ge=0.5, le=3600, description="How long a task stays with a worker that gives no sign of life.")
    ] = 20.0
    poll_seconds: Annotated[float, Field(gt=0, le=60, description="Longest wait for work when no notification comes.")] = 1.0
    stall_seconds: Annotated[
        float,
        Field(ge=1, le=86_400, description="How long work on a task may make no progress before it is given up; the delivery counts."),
    ] = 3600.0
    max_deliveries: Annotated[int, Field(ge=1, le=100, description="Workers that a task may take down before it is put aside.")] = 3
    keep_days: Annotated[float, Field(gt=0, description="How long a job that has ended can still be looked at.")] = 30.0


class Fetching(SettingsGroup):
    """How documents are fetched from addresses that callers give."""

    timeout_seconds: Annotated[float, Field(gt=0, le=3600, description="One document, redirects included.")] = 60.0
    max_redirects: Annotated[int, Field(ge=0, le=20, description="Redirects that are followed, each checked like the first address.")] = 5
    allowed_networks: Annotated[
        tuple[IPv4Network | IPv6Network, ...],
        Field(description='Private networks that may be reached all the same, as a JSON list: `["10.1.0.0/16"]`.'),
    ] = ()


class Reconciliation(SettingsGroup):
    """How the index is compared with the library by itself."""

    every_hours: Annotated[float, Field(ge=0, le=8760, description="Time between two comparisons of an organisation; 0: never.")] = 24.0
    repair: Annotated[bool, Field(description="Whether what differs is mended at once, not only counted.")] = True
    repair_share: Annotated[
        float, Field(ge=0, le=1, description="When more of an organisation's passages differ than this share, nothing is mended by itself.")
    ] = 0.2
    grace_seconds: Annotated[
        float, Field(ge=0, le=86_400, description="How long after a task's end what it wrote to the index is left alone.")
    ] = 300.0


class IngestorSettings(ServiceSettings):
    """Settings of the ingestor, from ``LECTERN_INGESTOR_*``."""

    model_config = SettingsConfigDict(env_prefix="LECTERN_INGESTOR_")

    listen: Annotated[str, Field(pattern=r"^.+:\d{1,5}$", description="Address and port of the gRPC server; port 0 picks one.")] = (
        "127.0.0.1:8081"
    )
    database_url: Annotated[SecretStr, Field(description="Postgres DSN; the ingestor owns the schema `library`.")]
    database_connections: Annotated[int, Field(ge=4, le=200, description="Most connections to Postgres.")] = 16
    object_store_url: Annotated[
        str,
        Field(min_length=1, description="Where bytes are kept: `file:///folder`, `s3://bucket/prefix`, `gs://…`, `az://…`, `memory:///`."),
    ]
    embedder_target: Annotated[str, Field(description="Address of the embedder, as gRPC names it.")] = "127.0.0.1:8082"
    workers: Annotated[int, Field(ge=1, le=64, description="Tasks of each stage that are in work at once.")] = 2
    parser_processes: Annotated[int, Field(ge=1, le=128, description="Child processes that parse documents.")] = 2
    programs_path: Annotated[
        str, Field(description="Folders in which tesseract and LibreOffice are looked for, set apart by colons; empty: neither is used.")
    ] = "/usr/local/bin:/usr/bin:/bin:/opt/homebrew/bin:/Applications/LibreOffice.app/Contents/MacOS"
    recognition_seconds: Annotated[
        float, Field(gt=0, le=86_400, description="How long recognising the text on all pictures of one document may take.")
    ] = 600.0
    drain_seconds: Annotated[float, Field(ge=0, description="How long calls in flight may take to end after SIGTERM.")] = 20.0
    replaced_index_seconds: Annotated[
        float, Field(ge=0, description="How long the old index is kept once a rebuilt one has taken its place.")
    ] = 300.0
    limits: Limits = Limits()
    queue: Queue = Queue()
    fetching: Fetching = Fetching()
    reconciliation: Reconciliation = Reconciliation()
