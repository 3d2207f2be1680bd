"""Takes documents in: what is durable, what is new, and what was there before."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from posixpath import basename
from typing import Protocol
from urllib.parse import unquote, urlsplit

from ingestor.domain.content import ContentStore, object_key
from ingestor.domain.documents import MAX_NAME_CHARS, check_name
from ingestor.domain.ids import identity
from ingestor.domain.metadata import Metadata, check_metadata
from ingestor.domain.parsing import DocumentRejected, Parser, ParserUnavailable, SourceFile
from ingestor.domain.tasks import Stage
from ingestor.errors import document_too_large, duplicate_id, nul_character
from shared.errors import AppError, invalid_argument, unavailable

MAX_EXTERNAL_ID_CHARS = 500
MAX_URI_CHARS = 4000
_ACCEPT_ATTEMPTS = 5


@dataclass(frozen=True, slots=True)
class DocumentHeader:
    """What a new document is. ``metadata`` None keeps what an earlier upload gave."""

    collection: str
    external_id: str
    name: str
    metadata: Metadata | None
    declared_media_type: str
    url: str
    uri: str


@dataclass(frozen=True, slots=True)
class TextEntry:
    """One text of a batch."""

    external_id: str
    name: str
    text: str
    metadata: Metadata | None


@dataclass(frozen=True, slots=True)
class Incoming:
    """One document on its way in, its bytes already durable.

    Attributes:
        content_sha256: empty while the content has not been fetched.
        object_key: where the object store has the bytes; None for an ``inline_text`` or a ``source_url``.
        type: found from the content; empty while that is not there.
        name: empty when none was given: an earlier one is kept.
        title: known beforehand, for an ``inline_text``.
    """

    identity: str
    external_id: str
    name: str
    uri: str
    metadata: Metadata | None
    content_sha256: str = ""
    size_bytes: int = 0
    object_key: str | None = None
    inline_text: str | None = None
    source_url: str | None = None
    declared_media_type: str = ""
    type: str = ""
    title: str = ""

    @property
    def first_stage(self) -> Stage:
        return Stage.PARSE if self.source_url is None else Stage.FETCH


class Novelty(StrEnum):
    """How incoming content stands to what the library has."""

    NEW = "NEW"
    UNCHANGED = "UNCHANGED"
    IN_WORK = "IN_WORK"


@dataclass(frozen=True, slots=True)
class Known:
    """What the library has of a document: its newest content, and the one that searches see."""

    content_sha256: str
    visible_sha256: str
    job_in_work: str | None


def novelty(known: Known, incoming: Incoming) -> Novelty:
    """Whether ``incoming`` must be parsed and embedded. Content that failed before is new: it is tried again."""
    if not incoming.content_sha256:
        return Novelty.NEW
    if known.job_in_work is not None and known.content_sha256 == incoming.content_sha256:
        return Novelty.IN_WORK
    if known.visible_sha256 == incoming.content_sha256:
        return Novelty.UNCHANGED
    return Novelty.NEW


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
    concurrent_uploads: int


class Intake:
    """Takes documents in."""

    def __init__(self, store: IntakeStore, content: ContentStore, parser: Parser, limits: IntakeLimits) -> None:
        self._store = store
        self._content = content
        self._parser = parser
        self._limits = limits
        self._uploads = asyncio.Semaphore(limits.concurrent_uploads)

    async def upload(self, organisation_id: str, header: DocumentHeader, chunks: AsyncIterator[bytes]) -> Accepted:
        """Take one document in; its bytes and its job are durable when this returns.

        Raises:
            AppError: COLLECTION_NOT_FOUND, DOCUMENT_TOO_LARGE, or the reason for which the parser refuses the bytes.
        """
        _check_header(header)
        collection_id = await self._store.collection_id(organisation_id, header.collection)
        if header.url:
            return await self._store.accept(organisation_id, collection_id, [_from_url(header)])
        if not header.name and not header.external_id:
            raise invalid_argument("NAME_REQUIRED", "Give the document a name or an external_id to know it by.", field="name")
        async with self._uploads:
            source = SourceFile(header.name or header.external_id, await self._receive(chunks), header.declared_media_type or None)
            return await self._take_in(organisation_id, collection_id, header, source)

    async def batch(self, organisation_id: str, collection: str, batches: AsyncIterator[Sequence[TextEntry]]) -> Accepted:
        """Take many texts in as one job: all of them, or none.

        Raises:
            AppError: COLLECTION_NOT_FOUND, or what is wrong with which entry.
        """
        collection_id = await self._store.collection_id(organisation_id, collection)
        async with self._uploads:
            incoming = [entry async for entry in self._entries(batches)]
            if not incoming:
                raise invalid_argument("BATCH_EMPTY", "The batch holds no entries. Send at least one.", field="entries")
            return await self._store.accept(organisation_id, collection_id, incoming)

    async def _receive(self, chunks: AsyncIterator[bytes]) -> bytes:
        content = bytearray()
        async for chunk in chunks:
            content += chunk
            if len(content) > self._limits.document_bytes:
                raise document_too_large(self._limits.document_bytes)
        return bytes(content)

    async def _take_in(self, organisation_id: str, collection_id: str, header: DocumentHeader, source: SourceFile) -> Accepted:
        digest = await asyncio.to_thread(lambda: hashlib.sha256(source.content).hexdigest())
        incoming = Incoming(
            identity=identity(external_id=header.external_id, name=header.name),
            external_id=header.external_id,
            name=header.name,
            uri=header.uri,
            metadata=header.metadata,
            content_sha256=digest,
            size_bytes=len(source.content),
            object_key=object_key(digest),
            declared_media_type=header.declared_media_type,
        )
        known = await self._store.has_content(organisation_id, collection_id, incoming.identity, digest)
        for _ in range(_ACCEPT_ATTEMPTS):
            if not known:
                incoming = replace(incoming, type=await check(self._parser, source))
                await self._content.put(organisation_id, digest, source.content)
            try:
                return await self._store.accept(organisation_id, collection_id, [incoming])
            except ContentGone:
                known = False
        raise unavailable("object store")

    async def _entries(self, batches: AsyncIterator[Sequence[TextEntry]]) -> AsyncIterator[Incoming]:
        positions: dict[str, int] = {}
        position = total_bytes = 0
        async for entries in batches:
            for entry in entries:
                position += 1
                incoming = _from_entry(entry, position)
                if incoming.identity in positions:
                    raise duplicate_id(entry.external_id or entry.name, positions[incoming.identity], position)
                positions[incoming.identity] = position
                total_bytes += incoming.size_bytes
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


def _check_header(header: DocumentHeader) -> None:
    check_name(header.name)
    _check_external_id(header.external_id, "external_id")
    for field, text in (("external_id", header.external_id), ("name", header.name), ("uri", header.uri), ("url", header.url)):
        if "\0" in text:
            raise nul_character()
        if field in {"uri", "url"} and len(text) > MAX_URI_CHARS:
            raise invalid_argument("URI_TOO_LONG", f"An address has at most {MAX_URI_CHARS:,} characters.", field=field)
    if header.metadata is not None:
        check_metadata(header.metadata)


def _check_external_id(external_id: str, field: str) -> None:
    if len(external_id) > MAX_EXTERNAL_ID_CHARS:
        raise invalid_argument("EXTERNAL_ID_TOO_LONG", f"An external id has at most {MAX_EXTERNAL_ID_CHARS} characters.", field=field)


def _from_url(header: DocumentHeader) -> Incoming:
    try:
        address = urlsplit(header.url)
        host = address.hostname
    except ValueError:
        address, host = None, None
    if address is None or address.scheme not in {"http", "https"} or not host:
        raise invalid_argument("URL_INVALID", "The url must be a whole one that begins with http:// or https://.", field="url")
    return Incoming(
        identity=identity(external_id=header.external_id, name=header.name, url=header.url),
        external_id=header.external_id,
        name=header.name or (unquote(basename(address.path)) or host)[:MAX_NAME_CHARS].replace("\0", ""),
        uri=header.uri or header.url,
        metadata=header.metadata,
        source_url=header.url,
        declared_media_type=header.declared_media_type,
    )


def _from_entry(entry: TextEntry, position: int) -> Incoming:
    """The entry, checked; ``position`` counts from 1 and names it in errors."""
    field = f"entries[{position - 1}]"
    try:
        check_name(entry.name, f"{field}.name")
        _check_external_id(entry.external_id, f"{field}.external_id")
        if "\0" in entry.text or "\0" in entry.name or "\0" in entry.external_id:
            raise nul_character()
        if not entry.text.strip():
            raise invalid_argument("EMPTY_TEXT", "The text is empty.", field=f"{field}.text")
        if entry.metadata is not None:
            check_metadata(entry.metadata)
    except AppError as error:
        raise invalid_argument(error.reason, f"Entry {position} of the batch: {error.message}", field=field) from error
    content = entry.text.encode()
    return Incoming(
        identity=identity(external_id=entry.external_id, name=entry.name),
        external_id=entry.external_id,
        name=entry.name,
        uri="",
        metadata=entry.metadata,
        # The title is embedded with the text, so a new title is new content.
        content_sha256=hashlib.sha256(b"\0".join((entry.name.encode(), content))).hexdigest(),
        size_bytes=len(content),
        inline_text=entry.text,
        type="txt",
        title=entry.name,
    )


def _batch_too_large(limits: IntakeLimits) -> AppError:
    return invalid_argument(
        "BATCH_TOO_LARGE",
        f"A batch has at most {limits.batch_entries:,} entries and {limits.batch_bytes / 1024**2:,.0f} MiB. Send several batches.",
        field="entries",
    )
