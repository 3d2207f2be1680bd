"""Collections: named sets of documents."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from ingestor.domain.ids import is_id, new_id
from ingestor.domain.metadata import Metadata, check_metadata
from shared.errors import invalid_argument

MAX_NAME_CHARS = 200
MAX_DESCRIPTION_CHARS = 10_000
# Larger passages than any model's window are a mistake, and the column is a 32-bit number.
MAX_PASSAGE_TOKENS = 100_000


@dataclass(frozen=True, slots=True)
class Collection:
    """A collection as it is now.

    Attributes:
        passage_tokens: what a passage is filled up to; 0: what the model's window allows.
        document_count: documents that are not deleted.
        passage_count: passages that searches can see.
    """

    collection_id: str
    name: str
    description: str
    metadata: Metadata
    passage_tokens: int
    document_count: int
    passage_count: int
    create_time: datetime
    update_time: datetime


@dataclass(frozen=True, slots=True)
class NewCollection:
    name: str
    description: str
    metadata: Metadata
    passage_tokens: int


@dataclass(frozen=True, slots=True)
class CollectionChange:
    """New values; None leaves a field as it is."""

    name: str | None = None
    description: str | None = None
    metadata: Metadata | None = None
    passage_tokens: int | None = None


@dataclass(frozen=True, slots=True)
class CollectionDeletion:
    document_count: int
    job_id: str


class CollectionStore(Protocol):
    """Where collections are kept. ``collection`` is an id or a name everywhere."""

    async def resolve(self, organisation_id: str, collection: str) -> str:
        """The collection's id. Raises AppError COLLECTION_NOT_FOUND."""
        ...

    async def create(self, organisation_id: str, collection_id: str, new: NewCollection) -> Collection:
        """Raises AppError COLLECTION_EXISTS."""
        ...

    async def get(self, organisation_id: str, collection: str) -> Collection:
        """Raises AppError COLLECTION_NOT_FOUND."""
        ...

    async def page(
        self, organisation_id: str, *, only: Sequence[str], after_name: str | None, limit: int, counted: bool
    ) -> list[Collection]: ...

    async def change(self, organisation_id: str, collection: str, change: CollectionChange) -> Collection:
        """Raises AppError COLLECTION_NOT_FOUND or COLLECTION_EXISTS."""
        ...

    async def delete(self, organisation_id: str, collection: str, job_id: str) -> CollectionDeletion:
        """Tombstone the collection with its documents, and queue their purge as the job ``job_id``."""
        ...


class Collections:
    """What can be done with collections."""

    def __init__(self, store: CollectionStore) -> None:
        self._store = store

    async def resolve(self, organisation_id: str, collection: str) -> str:
        """The id of the collection with this id or name.

        Raises:
            AppError: COLLECTION_NOT_FOUND.
        """
        return await self._store.resolve(organisation_id, collection)

    async def create(self, organisation_id: str, new: NewCollection) -> Collection:
        _check(CollectionChange(new.name, new.description, new.metadata, new.passage_tokens))
        return await self._store.create(organisation_id, new_id(), new)

    async def get(self, organisation_id: str, collection: str) -> Collection:
        return await self._store.get(organisation_id, collection)

    async def page(
        self, organisation_id: str, *, only: Sequence[str], after_name: str | None, limit: int, counted: bool
    ) -> list[Collection]:
        """Up to ``limit`` collections by name, after ``after_name``; of ``only`` (ids or names) where that is not empty.

        Without ``counted`` their counts are 0, and no document is looked at.
        """
        return await self._store.page(organisation_id, only=only, after_name=after_name, limit=limit, counted=counted)

    async def change(self, organisation_id: str, collection: str, change: CollectionChange) -> Collection:
        _check(change)
        return await self._store.change(organisation_id, collection, change)

    async def delete(self, organisation_id: str, collection: str) -> CollectionDeletion:
        return await self._store.delete(organisation_id, collection, new_id())


def _check(change: CollectionChange) -> None:
    if change.name is not None:
        if not change.name.strip() or len(change.name) > MAX_NAME_CHARS:
            raise invalid_argument("COLLECTION_NAME_INVALID", f"A collection's name has 1 to {MAX_NAME_CHARS} characters.", field="name")
        if is_id(change.name):
            raise invalid_argument(
                "COLLECTION_NAME_INVALID", "A collection's name must not look like an id, or the two could not be told apart.", field="name"
            )
    if change.description is not None and len(change.description) > MAX_DESCRIPTION_CHARS:
        raise invalid_argument(
            "DESCRIPTION_TOO_LONG", f"A description has at most {MAX_DESCRIPTION_CHARS:,} characters.", field="description"
        )
    if change.metadata is not None:
        check_metadata(change.metadata)
    if change.passage_tokens is not None and change.passage_tokens > MAX_PASSAGE_TOKENS:
        raise invalid_argument(
            "PASSAGE_TOKENS_OUT_OF_RANGE", f"passage_tokens is at most {MAX_PASSAGE_TOKENS:,}.", field="settings.passage_tokens"
        )
