"""Documents, as the gateway knows them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from gateway.domain.jobs import Job, Jobs
from gateway.domain.listing import Listing, PageRequest
from gateway.domain.strict_json import JsonValue
from shared.errors import AppError, Status


class DocumentState(StrEnum):
    PROCESSING = "PROCESSING"
    READY = "READY"
    FAILED = "FAILED"
    QUARANTINED = "QUARANTINED"
    CANCELLED = "CANCELLED"


@dataclass(frozen=True, slots=True)
class Page:
    number: int
    text: str


@dataclass(frozen=True, slots=True)
class Document:
    document_id: str
    collection_id: str
    external_id: str
    name: str
    title: str
    author: str
    language: str
    type: str
    uri: str
    metadata: Mapping[str, JsonValue]
    state: DocumentState
    reason: str
    message: str
    size_bytes: int
    content_sha256: str
    page_count: int
    passage_count: int
    create_time: datetime | None
    update_time: datetime | None
    indexed_time: datetime | None
    pages: Sequence[Page]


@dataclass(frozen=True, slots=True)
class NewDocument:
    """What a new document is; its bytes come beside it, or from ``url``.

    Attributes:
        name: may be empty for a url.
        metadata: None keeps what an earlier upload gave.
    """

    collection: str
    name: str = ""
    external_id: str = ""
    metadata: Mapping[str, JsonValue] | None = None
    media_type: str = ""
    url: str = ""


@dataclass(frozen=True, slots=True)
class Accepted:
    """A document that was taken in.

    Attributes:
        unchanged: it already had this content, so nothing is parsed or embedded.
    """

    document: Document
    job: Job
    unchanged: bool


@dataclass(frozen=True, slots=True)
class BatchEntry:
    external_id: str
    name: str
    text: str
    metadata: Mapping[str, JsonValue] | None = None


@dataclass(frozen=True, slots=True)
class BatchAccepted:
    job: Job
    unchanged: int


@dataclass(frozen=True, slots=True)
class DocumentChange:
    """What to change; None keeps a field as it is."""

    name: str | None = None
    metadata: Mapping[str, JsonValue] | None = None


@dataclass(frozen=True, slots=True)
class DeletionReceipt:
    document_id: str
    job_id: str
    deleted_time: datetime | None
    purge_verified_time: datetime | None
    passage_count: int
    vector_count: int
    file_count: int


class Documents(Protocol):
    """The documents of the current caller's organisation."""

    async def upload(self, document: NewDocument, content: AsyncIterator[bytes]) -> Accepted:
        """Hand over a document; bytes and job are durable when it returns. Parts of ``content`` may have any size."""
        ...

    async def create_batch(self, collection: str, entries: AsyncIterator[BatchEntry]) -> BatchAccepted:
        """Hand over many texts as one job: all are durable when it returns, or none, also when ``entries`` raises."""
        ...

    async def get(self, document_id: str, *, with_pages: bool) -> Document: ...

    async def list(self, collection: str, page: PageRequest, state: DocumentState | None) -> Listing[Document]: ...

    async def update(self, document_id: str, change: DocumentChange) -> Document: ...

    async def delete(self, document_id: str) -> DeletionReceipt: ...

    async def deletion_receipt(self, document_id: str) -> DeletionReceipt: ...


async def settled(accepted: Accepted, documents: Documents, jobs: Jobs, seconds: float) -> Accepted | None:
    """``accepted`` as it is once its job has ended; None when that takes longer than ``seconds`` or cannot be seen any more."""
    job = accepted.job
    try:
        async with asyncio.timeout(seconds), aclosing(jobs.watch(job.job_id)) as watched:
            async for state in watched:
                job = state
        document = await documents.get(accepted.document.document_id, with_pages=False)
    except TimeoutError:
        return None
    except AppError as error:
        # The document is safe whatever becomes of the watching: an error here would say otherwise.
        if error.status in {Status.UNAVAILABLE, Status.DEADLINE_EXCEEDED}:
            return None
        raise
    return Accepted(document, job, accepted.unchanged)
