"""Collections, as the gateway knows them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from gateway.domain.listing import Listing, PageRequest
from gateway.domain.strict_json import JsonValue


@dataclass(frozen=True, slots=True)
class CollectionSettings:
    """How documents are cut; 0 tokens: what the embedding model's window allows."""

    passage_tokens: int = 0


@dataclass(frozen=True, slots=True)
class Collection:
    collection_id: str
    name: str
    description: str
    metadata: Mapping[str, JsonValue]
    settings: CollectionSettings
    document_count: int
    passage_count: int
    create_time: datetime | None
    update_time: datetime | None


@dataclass(frozen=True, slots=True)
class CollectionChange:
    """What to change; None keeps a field as it is."""

    name: str | None = None
    description: str | None = None
    metadata: Mapping[str, JsonValue] | None = None
    settings: CollectionSettings | None = None


@dataclass(frozen=True, slots=True)
class CollectionDeleted:
    document_count: int
    job_id: str


class Collections(Protocol):
    """The collections of the current caller's organisation. ``collection`` is an id or a name."""

    async def create(self, name: str, description: str, metadata: Mapping[str, JsonValue], settings: CollectionSettings) -> Collection: ...

    async def get(self, collection: str) -> Collection: ...

    async def list(self, page: PageRequest) -> Listing[Collection]: ...

    async def update(self, collection: str, change: CollectionChange) -> Collection: ...

    async def delete(self, collection: str) -> CollectionDeleted: ...
