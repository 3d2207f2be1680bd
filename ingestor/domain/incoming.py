"""Documents on their way in, and how they stand to what the library has."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from enum import StrEnum
from posixpath import basename
from urllib.parse import unquote, urlsplit

from ingestor.domain.content import object_key
from ingestor.domain.documents import MAX_NAME_CHARS, check_name
from ingestor.domain.ids import identity
from ingestor.domain.metadata import Metadata, check_metadata
from ingestor.domain.tasks import Stage
from ingestor.errors import nul_character
from shared.errors import AppError, invalid_argument

MAX_EXTERNAL_ID_CHARS = 500
MAX_URI_CHARS = 4000


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
        metadata_bytes: what the metadata adds to ``size_bytes`` in memory, for an ``inline_text``.
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
    metadata_bytes: int = 0

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


def check_header(header: DocumentHeader) -> None:
    """Raise AppError for a header that is wrong whatever content follows it."""
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


def from_file(header: DocumentHeader, content_sha256: str, size_bytes: int) -> Incoming:
    """The document whose bytes came with ``header``."""
    return Incoming(
        identity=identity(external_id=header.external_id, name=header.name),
        external_id=header.external_id,
        name=header.name,
        uri=header.uri,
        metadata=header.metadata,
        content_sha256=content_sha256,
        size_bytes=size_bytes,
        object_key=object_key(content_sha256),
        declared_media_type=header.declared_media_type,
    )


def from_url(header: DocumentHeader) -> Incoming:
    """The document whose bytes are still to be fetched.

    Raises:
        AppError: URL_INVALID.
    """
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


def from_entry(entry: TextEntry, position: int) -> Incoming:
    """The entry, checked; ``position`` counts from 1 and names it in errors."""
    field = f"entries[{position - 1}]"
    try:
        check_name(entry.name, f"{field}.name")
        _check_external_id(entry.external_id, f"{field}.external_id")
        if "\0" in entry.text or "\0" in entry.name or "\0" in entry.external_id:
            raise nul_character()
        if not entry.text.strip():
            raise invalid_argument("EMPTY_TEXT", "The text is empty.", field=f"{field}.text")
        metadata_bytes = check_metadata(entry.metadata) if entry.metadata is not None else 0
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
        metadata_bytes=metadata_bytes,
    )
