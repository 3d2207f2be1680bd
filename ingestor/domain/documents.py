"""Documents: what was taken in, and what became of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from ingestor.domain.document_filters import Filter
from ingestor.domain.ids import new_id
from ingestor.domain.metadata import Metadata, check_metadata
from shared.errors import invalid_argument

MAX_NAME_CHARS = 500


class DocumentState(StrEnum):
    """What became of a document's newest content."""

    PROCESSING = "PROCESSING"
    READY = "READY"
    FAILED = "FAILED"
    QUARANTINED = "QUARANTINED"
    CANCELLED = "CANCELLED"


@dataclass(frozen=True, slots=True)
class Document:
    """A document as it is now.

    Attributes:
        state: of the newest content, like ``reason``, ``message``, ``size_bytes`` and ``content_sha256``.
        visible_generation: the one that searches see, which ``type`` to ``indexed_time`` describe; 0 before the first is ready.
    """

    document_id: str
    collection_id: str
    external_id: str
    name: str
    uri: str
    metadata: Metadata
    state: DocumentState
    reason: str
    message: str
    size_bytes: int
    content_sha256: str
    visible_generation: int
    type: str
    title: str
    author: str
    language: str
    page_count: int
    passage_count: int
    indexed_time: datetime | None
    create_time: datetime
    update_time: datetime


@dataclass(frozen=True, slots=True)
class Page:
    """A page of the visible content, counted from 1."""

    number: int
    text: str


@dataclass(frozen=True, slots=True)
class DeletionReceipt:
    """What a delete has removed so far; ``purge_verified_time`` is set once every store was seen to be empty."""

    document_id: str
    job_id: str
    deleted_time: datetime
    purge_verified_time: datetime | None
    passage_count: int
    vector_count: int
    file_count: int


@dataclass(frozen=True, slots=True)
class DocumentPosition:
    """The sort keys of a document in its collection's list."""

    create_time: datetime
    document_id: str


class DocumentStore(Protocol):
    """Where documents are kept. Methods that take a document id raise AppError DOCUMENT_NOT_FOUND."""

    async def get(self, organisation_id: str, document_id: str) -> Document: ...

    async def pages(self, organisation_id: str, document_id: str) -> list[Page]: ...

    async def page(
        self, organisation_id: str, collection_id: str, *, state: DocumentState | None, after: DocumentPosition | None, limit: int
    ) -> list[Document]: ...

    async def filtered(
        self, organisation_id: str, condition: Filter | None, *, collection_ids: Sequence[str], after: DocumentPosition | None, limit: int
    ) -> list[Document]: ...

    async def change(self, organisation_id: str, document_id: str, *, name: str | None, metadata: Metadata | None) -> Document:
        """Store new values at once, and queue what brings new metadata to the index."""
        ...

    async def delete(self, organisation_id: str, document_id: str, job_id: str) -> DeletionReceipt:
        """Tombstone the document and queue its purge as the job ``job_id``; the receipt that there is when it was deleted before."""
        ...

    async def receipt(self, organisation_id: str, document_id: str) -> DeletionReceipt: ...


class Documents:
    """What can be done with documents that are already here."""

    def __init__(self, store: DocumentStore) -> None:
        self._store = store

    async def get(self, organisation_id: str, document_id: str) -> Document:
        return await self._store.get(organisation_id, document_id)

    async def pages(self, organisation_id: str, document_id: str) -> list[Page]:
        """The visible content's pages.

        Raises:
            AppError: PAGES_TOO_LARGE when one reply could not hold them.
        """
        return await self._store.pages(organisation_id, document_id)

    async def page(
        self, organisation_id: str, collection_id: str, *, state: DocumentState | None, after: DocumentPosition | None, limit: int
    ) -> list[Document]:
        """Up to ``limit`` documents of the collection, oldest first, after the position ``after``."""
        return await self._store.page(organisation_id, collection_id, state=state, after=after, limit=limit)

    async def filtered(
        self, organisation_id: str, condition: Filter | None, *, collection_ids: Sequence[str], after: DocumentPosition | None, limit: int
    ) -> list[Document]:
        """Up to ``limit`` documents that satisfy ``condition``, oldest first, after the position ``after``; in any state.

        Args:
            organisation_id: whose documents.
            condition: None: every document satisfies it.
            collection_ids: only of these collections; empty: of all.
            after: None: from the first.
            limit: at most so many.
        """
        return await self._store.filtered(organisation_id, condition, collection_ids=collection_ids, after=after, limit=limit)

    async def change(self, organisation_id: str, document_id: str, *, name: str | None, metadata: Metadata | None) -> Document:
        if name is not None:
            check_name(name)
            if not name:
                raise invalid_argument("NAME_REQUIRED", "A document's name cannot be taken away, only changed.", field="name")
        if metadata is not None:
            check_metadata(metadata)
        return await self._store.change(organisation_id, document_id, name=name, metadata=metadata)

    async def delete(self, organisation_id: str, document_id: str) -> DeletionReceipt:
        return await self._store.delete(organisation_id, document_id, new_id())

    async def receipt(self, organisation_id: str, document_id: str) -> DeletionReceipt:
        return await self._store.receipt(organisation_id, document_id)


def check_name(name: str, field: str = "name") -> None:
    """Raise AppError NAME_TOO_LONG for a name that is no name."""
    if len(name) > MAX_NAME_CHARS:
        raise invalid_argument("NAME_TOO_LONG", f"A document's name has at most {MAX_NAME_CHARS} characters.", field=field)
