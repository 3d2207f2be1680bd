"""Rebuilds of the whole vector index: what is remembered of one, and what it needs of the stores."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from ingestor.domain.drift import IndexRow
from ingestor.domain.pipeline.index import Attributes, StoredPassage
from ingestor.errors import rebuild_running
from shared.errors import not_found

WATCH_SECONDS = 0.3


class RebuildState(StrEnum):
    BUILDING = "BUILDING"
    SWITCHING = "SWITCHING"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"

    @property
    def ended(self) -> bool:
        return self in (RebuildState.SUCCEEDED, RebuildState.FAILED)


@dataclass(slots=True)
class Rebuild:
    """One rebuild, as it is remembered.

    Attributes:
        collection: what is being filled; empty before the index was asked for it.
        replaced_collection: what answered before.
        walk: how often the library was walked through, this time included.
        done: passages compared in this walk, of about ``total``.
        embedded: passages written in all walks whose text went through the model.
        reused: passages written in all walks whose vector was taken over.
        reason: why it failed, or what it waits for.
    """

    rebuild_id: str
    state: RebuildState
    create_time: datetime
    collection: str = ""
    replaced_collection: str = ""
    walk: int = 0
    done: int = 0
    total: int = 0
    embedded: int = 0
    reused: int = 0
    reason: str = ""
    message: str = ""


@dataclass(frozen=True, slots=True)
class Built:
    """What became of passages that were written."""

    embedded: int
    reused: int
    rejected: Mapping[str, str]


class RebuildStore(Protocol):
    """Rebuilds and the library. Its clock decides."""

    async def insert(self, rebuild_id: str) -> Rebuild | None:
        """Begin a rebuild; None while another has not ended."""
        ...

    async def newest(self) -> Rebuild | None: ...

    async def take(self, token: str) -> Rebuild | None:
        """Lease the rebuild that has not ended; None when there is none, or somebody works on it."""
        ...

    async def save(self, rebuild: Rebuild, token: str) -> bool:
        """Remember how far it is; False when somebody else has the lease."""
        ...

    async def renew(self, rebuild_id: str, token: str) -> None:
        """Renew the lease, if ``token`` still holds it."""
        ...

    @property
    def lease_seconds(self) -> float: ...

    async def release(self, rebuild_id: str, token: str) -> None: ...

    async def writers_are_still(self) -> bool:
        """Whether nothing can write to the index any more, now that a rebuild is SWITCHING."""
        ...

    async def take_replaced(self, *, grace_seconds: float) -> list[str]:
        """Collections that were replaced so long ago that nobody can be reading them, and were not `forgotten`."""
        ...

    async def forget_replaced(self, collection: str) -> None: ...

    async def organisations(self) -> list[str]: ...

    async def visible_count(self, organisation_id: str) -> int: ...

    async def visible_rows(self, organisation_id: str, after: str, limit: int) -> list[IndexRow]: ...

    async def visible_passages(
        self, organisation_id: str, passage_ids: Sequence[str]
    ) -> tuple[list[StoredPassage], Mapping[str, Attributes]]:
        """Those of the passages that are still visible, and the attributes of their documents."""
        ...


class IndexBuilder(Protocol):
    """The vector index. Raises AppErrors of the embedder."""

    async def prepare(self) -> tuple[str, str]:
        """Create the collection to fill, empty; its name, and that of the one that answers."""
        ...

    async def build(
        self, organisation_id: str, collection: str, passages: Sequence[StoredPassage], attributes: Mapping[str, Attributes]
    ) -> Built: ...

    async def scan(self, organisation_id: str, after: str, limit: int) -> list[IndexRow]:
        """Rows of the collection that answers."""
        ...

    async def scan_built(self, organisation_id: str, collection: str, after: str, limit: int) -> list[IndexRow]: ...

    async def delete_built(self, organisation_id: str, collection: str, passage_ids: Sequence[str]) -> None: ...

    async def built_organisations(self, collection: str) -> list[str]: ...

    async def switch(self, collection: str, *, serving: str) -> None:
        """Let ``collection`` answer instead of ``serving``; nothing happens when it does already."""
        ...

    async def drop(self, collection: str) -> None: ...


class Rebuilds:
    """What can be asked about rebuilds."""

    def __init__(self, store: RebuildStore) -> None:
        self._store = store

    async def start(self) -> Rebuild:
        """Begin a rebuild; a `Rebuilder` takes it up.

        Raises:
            AppError: REBUILD_RUNNING.
        """
        rebuild = await self._store.insert(f"rebuild-{secrets.token_hex(8)}")
        if rebuild is None:
            raise rebuild_running()
        return rebuild

    async def watch(self) -> AsyncGenerator[Rebuild, None]:
        """The newest rebuild, again whenever it has moved on, until it has ended.

        Raises:
            AppError: REBUILD_NOT_FOUND when there never was one.
        """
        seen: Rebuild | None = None
        while True:
            rebuild = await self._store.newest()
            if rebuild is None:
                raise not_found("rebuild", "newest")
            if rebuild != seen:
                yield rebuild
            if rebuild.state.ended:
                return
            seen = rebuild
            await asyncio.sleep(WATCH_SECONDS)
