"""Documents and what became of them."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from pydantic import Field

from lectern_client.models.jobs import Job
from lectern_client.models.reply import Reply

DocumentState = Literal["PROCESSING", "READY", "FAILED", "QUARANTINED", "CANCELLED"]


class Page(Reply):
    """One page of a document, counted from 1."""

    number: int
    text: str


class Document(Reply):
    """One document.

    Attributes:
        external_id: the id that the uploader gave; None when there was none.
        title: as the content says, like ``author`` and ``language`` (ISO 639-1).
        reason: stable code of why the newest content failed; set in FAILED and QUARANTINED.
        message: the same in words.
        pages: only when asked for.
    """

    id: str
    collection_id: str
    external_id: str | None = None
    name: str
    title: str | None = None
    author: str | None = None
    language: str | None = None
    state: DocumentState
    reason: str | None = None
    message: str | None = None
    type: str | None = None
    uri: str | None = None
    metadata: dict[str, Any] = Field(default_factory=dict)
    size_bytes: int = 0
    content_sha256: str | None = None
    page_count: int = 0
    passage_count: int = 0
    pages: list[Page] | None = None
    create_time: datetime | None = None
    update_time: datetime | None = None
    indexed_time: datetime | None = None


class Uploaded(Document):
    """A document that was taken in.

    Attributes:
        job: makes it searchable.
        unchanged: the document already had this content, so that nothing is parsed or embedded.
    """

    job: Job
    unchanged: bool = False


class BatchUploaded(Reply):
    """Many texts that were taken in as one job; ``unchanged`` of them had this content already."""

    job: Job
    unchanged: int = 0


class DeletionReceipt(Reply):
    """Proof of a delete. ``purge_verified_time`` is set once every store was seen to be empty of the document."""

    document_id: str
    job_id: str | None = None
    deleted_time: datetime | None = None
    purge_verified_time: datetime | None = None
    passage_count: int = 0
    vector_count: int = 0
    file_count: int = 0
