"""Takes documents in: what is durable when the caller hears of it."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from typing import Protocol

from ingestor.domain.archives import ARCHIVE_TYPE, unpacked
from ingestor.domain.content import ContentStore
from ingestor.domain.incoming import DocumentHeader, Incoming, TextEntry, check_header, from_entry, from_file, from_url
from ingestor.domain.parsing import DocumentRejected, Parser, ParserUnavailable, SourceFile
from ingestor.errors import document_too_large, duplicate_id
from shared.errors import AppError, invalid_argument, too_busy, unavailable

_ACCEPT_ATTEMPTS = 5
BUSY_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Accepted:
    """What became of documents that came in.

    Attributes:
        document_ids: in the order given.
        job_id: the job that makes them searchable; one that runs already when it covers all of them.
    """

    document_ids: tuple[str, ...]
    job_id: str
    unchanged_count: int


class ContentGone(Exception):  # noqa: N818  # an outcome, answered by another try
    """The bytes were removed between their upload and this transaction; put them again."""


class IntakeStore(Protocol):
    """Where documents become durable."""

    async def collection_id(self, organisation_id: str, collection: str) -> str:
        """The id of the collection with this id or name; raises AppError COLLECTION_NOT_FOUND."""
        ...

    async def has_content(self, organisation_id: str, collection_id: str, identity: str, content_sha256: str) -> bool:
        """Whether this content is the document's visible or its newest one."""
        ...

    async def accept(self, organisation_id: str, collection_id: str, incoming: Sequence[Incoming]) -> Accepted:
        """Write documents, generations, tasks and their job in one transaction.

        Raises:
            AppError: COLLECTION_NOT_FOUND when it was deleted meanwhile.
            ContentGone: an object is no longer there.
        """
        ...


@dataclass(frozen=True, slots=True)
class IntakeLimits:
    document_bytes: int
    batch_entries: int
    batch_bytes: int
    memory_bytes: int


class Memory:
    """What calls in flight hold together. A slow caller takes only what it has sent so far."""

    def __init__(self, max_bytes: int) -> None:
        self._free = max_bytes

    @contextmanager
    def share(self) -> Iterator[Callable[[int], None]]:
        """Give a function that takes bytes; what it took is given back at the end.

        It raises AppError INGESTOR_BUSY when there are not as many left.
        """
        taken = 0

        def take(size: int) -> None:
            nonlocal taken
            if size > self._free:
                raise too_busy("ingestor", retry_after_seconds=BUSY_SECONDS)
            self._free -= size
            taken += size

        try:
            yield take
        finally:
            self._free += taken


class Intake:
    """Takes documents in."""

    def __init__(self, store: IntakeStore, content: ContentStore, parser: Parser, limits: IntakeLimits) -> None:
        self._store = store
        self._content = content
        self._parser = parser
        self._limits = limits
        self._memory = Memory(limits.memory_bytes)

    async def upload(self, organisation_id: str, header: DocumentHeader, chunks: AsyncIterator[bytes]) -> Accepted:
        """Take one document in, or those of an archive; their bytes and their job are durable when this returns.

        Raises:
            AppError: COLLECTION_NOT_FOUND, DOCUMENT_TOO_LARGE, or the reason for which the parser refuses the bytes.
        """
        check_header(header)
        collection_id = await self._store.collection_id(organisation_id, header.collection)
        if header.url:
            return await self._store.accept(organisation_id, collection_id, [from_url(header)])
        if not header.name and not header.external_id:
            raise invalid_argument("NAME_REQUIRED", "Give the document a name or an external_id to know it by.", field="name")
        with self._memory.share() as take:
            content = await self._receive(chunks, take)
            source = SourceFile(header.name or header.external_id, content, header.declared_media_type or None)
            return await self._take_in(organisation_id, collection_id, header, source)

    async def batch(self, organisation_id: str, collection: str, batches: AsyncIterator[Sequence[TextEntry]]) -> Accepted:
        """Take many texts in as one job: all of them, or none.

        Raises:
            AppError: COLLECTION_NOT_FOUND, or what is wrong with which entry.
        """
        collection_id = await self._store.collection_id(organisation_id, collection)
        with self._memory.share() as take:
            incoming = [entry async for entry in self._entries(batches, take)]
            if not incoming:
                raise invalid_argument("BATCH_EMPTY", "The batch holds no entries. Send at least one.", field="entries")
            return await self._store.accept(organisation_id, collection_id, incoming)

    async def _receive(self, chunks: AsyncIterator[bytes], take: Callable[[int], None]) -> bytes:
        content = bytearray()
        async for chunk in chunks:
            take(len(chunk))
            content += chunk
            if len(content) > self._limits.document_bytes:
                raise document_too_large(self._limits.document_bytes)
        return bytes(content)

    async def _take_in(self, organisation_id: str, collection_id: str, header: DocumentHeader, source: SourceFile) -> Accepted:
        digest = await asyncio.to_thread(lambda: hashlib.sha256(source.content).hexdigest())
        incoming = from_file(header, digest, len(source.content))
        known = await self._store.has_content(organisation_id, collection_id, incoming.identity, digest)
        for _ in range(_ACCEPT_ATTEMPTS):
            if not known:
                incoming = replace(incoming, type=await check(self._parser, source))
                if incoming.type == ARCHIVE_TYPE:
                    return await self._take_in_archive(organisation_id, collection_id, header, source)
                await self._content.put(organisation_id, digest, source.content)
            try:
                return await self._store.accept(organisation_id, collection_id, [incoming])
            except ContentGone:
                known = False
        raise unavailable("object store")

    async def _take_in_archive(self, organisation_id: str, collection_id: str, header: DocumentHeader, archive: SourceFile) -> Accepted:
        for _ in range(_ACCEPT_ATTEMPTS):
            members: dict[str, Incoming] = {}
            async for incoming, content in unpacked(self._parser, archive, header):
                await self._content.put(organisation_id, incoming.content_sha256, content)
                members[incoming.identity] = incoming
            with suppress(ContentGone):
                return await self._store.accept(organisation_id, collection_id, list(members.values()))
        raise unavailable("object store")

    async def _entries(self, batches: AsyncIterator[Sequence[TextEntry]], take: Callable[[int], None]) -> AsyncIterator[Incoming]:
        positions: dict[str, int] = {}
        position = total_bytes = 0
        async for entries in batches:
            for entry in entries:
                position += 1
                incoming = from_entry(entry, position)
                if incoming.identity in positions:
                    raise duplicate_id(entry.external_id or entry.name, positions[incoming.identity], position)
                positions[incoming.identity] = position
                held_bytes = incoming.size_bytes + incoming.metadata_bytes
                take(held_bytes)
                total_bytes += held_bytes
                if position > self._limits.batch_entries or total_bytes > self._limits.batch_bytes:
                    raise _batch_too_large(self._limits)
                yield incoming


async def check(parser: Parser, source: SourceFile) -> str:
    """The type of ``source``.

    Raises:
        AppError: the reason for which the parser refuses it, or PARSER_UNAVAILABLE.
    """
    try:
        return await parser.check(source)
    except DocumentRejected as rejected:
        raise invalid_argument(rejected.reason, rejected.message, field="file") from rejected
    except ParserUnavailable as error:
        raise unavailable("parser") from error


def _batch_too_large(limits: IntakeLimits) -> AppError:
    return invalid_argument(
        "BATCH_TOO_LARGE",
        f"A batch has at most {limits.batch_entries:,} entries and {limits.batch_bytes / 1024**2:,.0f} MiB. Send several batches.",
        field="entries",
    )
